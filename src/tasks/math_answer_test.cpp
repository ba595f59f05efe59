#include "tasks/math_answer.h"

#include <gtest/gtest.h>

#include <string>

#include "tasks/math_value.h"

namespace minke {
namespace {

struct Pair {
  const char* a;
  const char* b;
};

TEST(SameMath, TakesWhatIsTheSame) {
  const Pair table[] = {
      // numbers
      {"5", "5"},
      {"5", "5.0"},
      {"5", "+5"},
      {"-5", "−5"},
      {".5", "0.5"},
      {"007", "7"},
      {"1000000", "1,000,000"},
      {"33,\\!800,\\!000", "33800000"},
      {"335{,}670", "335,670"},
      {"10^6", "1000000"},
      {"2^{10}", "1024"},
      {"3!", "6"},
      {"\\binom{5}{2}", "10"},
      {"2\\cdot 3", "6"},
      {"2 \\times 10^3", "2000"},
      // fractions
      {"\\frac{1}{2}", "1/2"},
      {"\\frac{1}{2}", "0.5"},
      {"\\frac12", "\\dfrac{1}{2}"},
      {"\\frac 79", "7/9"},
      {"\\frac1{10}", "0.1"},
      {"-\\frac{3}{5}", "\\frac{-3}{5}"},
      {"-\\frac{3}{5}", "\\frac{3}{-5}"},
      {"\\frac{2}{4}", "\\tfrac{1}{2}"},
      {"1\\frac{2}{3}", "\\frac{5}{3}"},
      {"\\frac{\\frac{1}{2}}{3}", "1/6"},
      {"5:6", "\\frac{5}{6}"},
      // roots
      {"\\sqrt{8}", "2\\sqrt{2}"},
      {"\\sqrt2", "\\sqrt{2}"},
      {"\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}"},
      {"\\sqrt[3]{8}", "2"},
      {"\\sqrt[3]{-8}", "-2"},
      {"sqrt(5)", "\\sqrt{5}"},
      {"√5", "\\sqrt{5}"},
      {"22 - 8 \\sqrt{7}", "-8\\sqrt{7}+22"},
      {"\\!\\sqrt{21}", "\\sqrt{21}"},
      {"2^{1/2}", "\\sqrt 2"},
      {"\\frac{1+\\sqrt5}{2}", "(1+\\sqrt{5})/2"},
      // pi, i, functions
      {"10\\pi", "10 \\pi"},
      {"\\frac{\\pi}{2}", "\\pi/2"},
      {"2π", "2\\pi"},
      {"3+2i", "2i+3"},
      {"(1+i)^2", "2i"},
      {"3\\sec\\frac{1}{2}\\theta", "\\frac{3}{\\cos(\\theta/2)}"},
      {"\\sin^2 x + \\cos^2 x", "1"},
      {"\\log_2 8", "3"},
      {"\\ln e", "1"},
      {"\\log 100", "2"},
      {"|{-3}|", "3"},
      // unknowns
      {"(x+1)^2", "x^2+2x+1"},
      {"x(x-1)", "x^2 - x"},
      {"(a + b)(a + c)", "a^2+ac+ab+bc"},
      {"\\frac{1}{x-1}", "-1/(1-x)"},
      {"\\frac{2}{x} + 4x^2", "4x^2+\\frac2x"},
      {"x_1+x_2", "x_{2} + x_{1}"},
      {"2^{n+1}", "2\\cdot 2^n"},
      {"p - q", "-q + p"},
      // units and what stands around
      {"90\\text{ units}", "90"},
      {"20 \\text{ sq units}", "20"},
      {"5\\text{ cm}^2", "5"},
      {"164 \\pi \\mbox{ square feet}", "164\\pi"},
      {"20 miles", "20"},
      {"20 cm^2", "20"},
      {"60^\\circ", "60"},
      {"60^{\\circ}", "60°"},
      {"60 degrees", "60^\\circ"},
      {"\\$1.65", "1.65"},
      {" \\$ 54.60", "$54.6$"},
      {"50\\%", "50"},
      {"50\\%", "50%"},
      {"50\\%", "0.5"},
      {"12.5\\%", "\\frac{1}{8}"},
      {"\\left(3\\right)", "3"},
      {"3.", "3"},
      {"43_5", "43_{5}"},
      {"43_5.", "43"},
      {"2D", "2d"},
      // tuples, intervals, sets
      {"(1,2)", "(1, 2)"},
      {"\\left( \\frac{3}{16}, \\frac{11}{16} \\right)", "(3/16, 11/16)"},
      {"(3, \\frac{\\pi}{2})", "\\left(3,\\pi/2\\right)"},
      {"(-\\infty,0]", "(-\\infty, 0]"},
      {"(-\\infty, 3) \\cup (5, \\infty)", "(5,\\infty)\\cup(-\\infty,3)"},
      {"(-∞, 0]", "(-\\infty,0]"},
      {"0,1", "1, 0"},
      {"0,1", "\\{0,1\\}"},
      {"\\{1,2\\}", "\\left\\{2, 1\\right\\}"},
      {"1 \\text{ and } 2", "1, 2"},
      {"1 \\text{ or } 2", "2,1"},
      {"45^\\circ, 135^\\circ", "135, 45"},
      {"3 \\pm \\sqrt{2}", "3+\\sqrt 2, 3-\\sqrt 2"},
      {"\\pm 2", "-2, 2"},
      {"(3281,3280)", "(3281, 3280)"},
      {"\\frac{5}{8}, 2, 10", "10, 2, 0.625"},
      // matrices
      {"\\begin{pmatrix} 12/5 \\\\ 16/5 \\end{pmatrix}",
       "\\begin{pmatrix} 2.4 \\\\ 3.2\\end{pmatrix}"},
      {"\\begin{pmatrix} -1 & -5 \\\\ 1 & 4 \\end{pmatrix}",
       "\\begin{bmatrix}-1&-5\\\\1&4\\\\\\end{bmatrix}"},
      // equations and inequalities
      {"x = 5", "5"},
      {"q=3", "3"},
      {"f(x) = x^2", "x^2"},
      {"x \\in [1,2]", "[1,2]"},
      {"y = 2x+3", "2x - y + 3 = 0"},
      {"x+y=2", "2=y+x"},
      {"x \\ge 3", "x>=3"},
      {"x \\geq 3", "3 \\leq x"},
      {"0 < x < 1", "1 > x > 0"},
      // words
      {"\\text{B}", "B"},
      {"\\text{(B)}", "B"},
      {"(C)", "C"},
      {"\\text{two lines}", "two lines"},
      {"\\text{October 30}", "October 30"},
      {"\\text{A,C}", "A, C"},
      {"\\text{Yes}", "yes"},
      {"8\\!:\\!34 \\text{ p.m.}", "8:34 p.m."},
      {"\\emptyset", "∅"},
  };
  for (const auto& [a, b] : table) {
    EXPECT_TRUE(same_math(a, b)) << a << " and " << b;
    EXPECT_TRUE(same_math(b, a)) << b << " and " << a;
  }
}

TEST(SameMath, RefusesWhatIsNot) {
  const Pair table[] = {
      {"5", "6"},
      {"5", "-5"},
      {"", "5"},
      {"0.33", "\\frac{1}{3}"},
      {"112.5", "11.25"},
      {"1.5", "15"},
      {".5", "5"},
      {"1 2", "12"},
      {"0.333333333", "\\frac{1}{3}"},
      {"3.14", "\\pi"},
      {"1.41421", "\\sqrt{2}"},
      {"12345678901", "12345678902"},
      {"1,234", "1234.5"},
      {"(1,234)", "1234"},
      {"\\sqrt{2}", "\\sqrt{3}"},
      {"2\\sqrt{2}", "\\sqrt{2}"},
      {"10\\pi", "10"},
      {"\\frac{1}{2}", "\\frac{2}{1}"},
      {"x^2", "x^3"},
      {"x", "y"},
      {"x+1", "x-1"},
      {"|x|", "x"},
      {"\\sqrt{x^2}", "x"},
      {"e", "x"},
      {"(1,2)", "(2,1)"},
      {"(0,1]", "[0,1]"},
      {"(0,1)", "[0,1]"},
      {"(0,1)", "(0,1]"},
      {"(1,2)", "(1,2,3)"},
      {"1,2", "1,3"},
      {"1,2", "1,2,3"},
      {"1,1,2", "1,2,2"},
      {"(-\\infty,0]", "(-\\infty,0)"},
      {"(-\\infty,0)", "(\\infty,0)"},
      {"\\begin{pmatrix} 1 & 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"},
      {"\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}"},
      {"x=5", "6"},
      {"x=5", "y=5"},
      {"x=5", "x=-5"},
      {"x+y=5", "5"},
      {"x \\ge 3", "x \\le 3"},
      {"x \\ge 3", "x > 3"},
      {"0<x<1", "0<x<2"},
      {"\\text{B}", "C"},
      {"\\text{even}", "odd"},
      {"43_5", "43_6"},
      {"43_5", "44"},
      {"50\\%", "0.05"},
      {"1\\frac{2}{3}", "\\frac{2}{3}"},
      {"3 \\pm 1", "4"},
      {"1/0", "2/0"},
      {"\\frac{1}{", "\\frac{2}{"},
      {"5 or 6", "5"},
      {"5, 6", "5"},
  };
  for (const auto& [a, b] : table) {
    EXPECT_FALSE(same_math(a, b)) << a << " and " << b;
    EXPECT_FALSE(same_math(b, a)) << b << " and " << a;
  }
}

TEST(SameMath, IsQuickWithWhatIsBuiltToHurt) {
  const std::string deep = std::string(900, '(') + "1" + std::string(900, ')');
  EXPECT_FALSE(same_math(deep, "1"));
  EXPECT_FALSE(same_math("9^{9^{9^{9^{9}}}}", "1"));
  EXPECT_FALSE(same_math(std::string(100'000, '1'), "1"));
  EXPECT_FALSE(same_math("170!!", "1"));
  std::string list = "1";
  for (int i = 0; i < 900; ++i) list += ",1";
  EXPECT_FALSE(same_math(list, list + ",2"));
}

TEST(CheckMath, TakesTheLastBox) {
  EXPECT_TRUE(
      check_math("\\frac{1}{2}", "First \\boxed{3}, then $\\boxed{\\frac{1}{2}}$.").correct);
  EXPECT_TRUE(check_math("\\frac{1}{2}", "So it is\n\\boxed{0.5}\nas claimed").correct);
  EXPECT_FALSE(check_math("\\frac{1}{2}", "It is one half\nas claimed").well_formed);
  const Verdict wrong = check_math("2", "\\boxed{3}");
  EXPECT_TRUE(wrong.well_formed);
  EXPECT_EQ(wrong.why, "'3' is not '2'");
}

}  // namespace
}  // namespace minke
