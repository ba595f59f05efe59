#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "tasks/generated_task.h"
#include "tasks/puzzle_tasks.h"

namespace minke {

namespace {

constexpr std::array kWords = {
    "strawberry",   "raspberry",   "blueberry",     "banana",       "pineapple",    "bookkeeper",
    "committee",    "mississippi", "tennessee",     "balloon",      "coffee",       "butterfly",
    "grasshopper",  "giraffe",     "elephant",      "crocodile",    "hippopotamus", "kangaroo",
    "letter",       "running",     "swimming",      "beginning",    "necessary",    "successful",
    "possession",   "assessment",  "address",       "accommodate",  "occurrence",   "parallel",
    "embarrass",    "millennium",  "questionnaire", "mirror",       "terrarium",    "february",
    "library",      "calendar",    "whisper",       "whistle",      "bubble",       "puzzle",
    "pepper",       "cheese",      "tomorrow",      "yesterday",    "umbrella",     "alphabet",
    "keyboard",     "telephone",   "television",    "refrigerator", "restaurant",   "international",
    "imagination",  "celebration", "environment",   "government",   "development",  "engineering",
    "probability",  "statistics",  "mathematics",   "arithmetic",   "geometry",     "philosophy",
    "encyclopedia", "dictionary",  "onomatopoeia",  "level",        "radar",        "rotor",
    "noon",         "racecar",     "deified",       "reviver",      "tattoo",       "voodoo",
    "bamboo",       "cocoon",      "raccoon",       "afternoon",    "spoon",        "moonlight",
    "sunflower",    "dandelion",   "chrysanthemum", "lavender",     "cinnamon",     "vanilla",
    "chocolate",    "spaghetti",   "avocado",       "artichoke",    "broccoli",     "zucchini",
    "eggplant",     "cucumber",    "watermelon",    "apricot"};

std::string made_up_word(Draws& draws, int64_t letters) {
  constexpr std::string_view kConsonants = "bcdfghjklmnprstvwz";
  constexpr std::string_view kVowels = "aeiou";
  std::string word;
  bool is_vowel = draws.chance(0.3);
  while (static_cast<int64_t>(word.size()) < letters) {
    const std::string_view from = is_vowel ? kVowels : kConsonants;
    const char letter = from[static_cast<size_t>(draws.below(static_cast<int64_t>(from.size())))];
    word += letter;
    // Doubled letters are where counting goes wrong.
    if (draws.chance(0.15) && static_cast<int64_t>(word.size()) < letters) word += letter;
    is_vowel = !is_vowel;
  }
  return word;
}

class CountingLettersTask : public GeneratedTask {
 public:
  explicit CountingLettersTask(const TaskSettings& settings)
      : GeneratedTask("counting_letters", settings.spec()),
        letters_max_(settings.number("letters_max")),
        english_percent_(settings.number("english")) {}

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    const bool is_english = draws.below(100) < english_percent_;
    const std::string word =
        is_english
            ? kWords[static_cast<size_t>(draws.below(kWords.size()))]
            : made_up_word(draws, draws.between(std::min<int64_t>(4, letters_max_), letters_max_));
    const char letter =
        draws.chance(0.85)
            ? word[static_cast<size_t>(draws.below(static_cast<int64_t>(word.size())))]
            : static_cast<char>('a' + draws.below(26));
    return Instance{
        .canonical = fmt::format("counting_letters {} {}", letter, word),
        .prompt = fmt::format("How many times does the letter {} occur in the word {}? End with a "
                              "line \"Answer: NUMBER\".",
                              letter, word),
        .expected = std::to_string(std::ranges::count(word, letter))};
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    const char letter = part_between(problem.prompt, "letter ", " ").front();
    SolvedProblem solved;
    int64_t count = 0;
    for (const char next : part_between(problem.prompt, "word ", "?")) {
      if (!solved.thinking.empty()) solved.thinking += ", ";
      solved.thinking += next;
      if (next == letter) fmt::format_to(std::back_inserter(solved.thinking), " ({})", ++count);
    }
    solved.thinking += ".\n";
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  int64_t letters_max_, english_percent_;
};

}  // namespace

std::span<const TaskParameter> counting_letters_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"letters_max", "the longest made-up word", 12, 2, 40, {}},
      {"english", "percent of the words that are English", 40, 0, 100, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_counting_letters(const TaskSettings& settings) {
  auto task = std::make_shared<CountingLettersTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
