// JSON schemas: a table of what they take and what they refuse, and what they say to what they
// lack.
#include "text/grammar_schema.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar_automaton.h"

namespace minke {
namespace {

Result<GrammarAutomaton> automaton_of(std::string_view schema) {
  MINKE_ASSIGN(const Grammar grammar, json_schema_grammar(schema));
  return GrammarAutomaton::create(grammar, 0);
}

struct Case {
  std::string_view schema;
  std::vector<std::string_view> yes;
  std::vector<std::string_view> no;
};

void check(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    Result<GrammarAutomaton> automaton = automaton_of(one.schema);
    ASSERT_TRUE(automaton.has_value()) << one.schema << ": " << automaton.error().message;
    for (const std::string_view text : one.yes) {
      EXPECT_TRUE(automaton->matches(text)) << one.schema << " should take " << text;
    }
    for (const std::string_view text : one.no) {
      EXPECT_FALSE(automaton->matches(text)) << one.schema << " should refuse " << text;
    }
  }
}

TEST(JsonSchema, Types) {
  check({
      {"true", {"1", "{}", "[null]", "\"x\""}, {"", "x"}},
      {"{}", {"null", "{\"a\":1}"}, {"nul"}},
      {R"({"type":"null"})", {"null"}, {"0", "nulll"}},
      {R"({"type":"boolean"})", {"true", "false"}, {"null", "True"}},
      {R"({"type":"integer"})",
       {"0", "-1", "123456789012345678"},
       {"1.0", "-0", "01", "1e3", "+1", "1234567890123456789"}},
      {R"({"type":"number"})", {"0", "-0.5", "1e10", "12.25E-3"}, {".5", "1.", "--1", "1e"}},
      {R"({"type":["string","null"],"title":"t","description":"d","default":1,"examples":[2]})",
       {"null", "\"\""},
       {"1", "true"}},
      {R"({"type":"string"})", {"\"\"", "\"a\\\"b\\u0041\"", "\"é\""}, {"\"", "'a'", "\"\t\""}},
      {R"({"type":"object"})", {"{}", "{\"a\": [1]}"}, {"[]"}},
      {R"({"type":"array"})", {"[]", "[1, \"a\", {}]"}, {"{}", "[1,]"}},
      {R"({"type":"integer","type":"string"})", {"\"\""}, {"1"}},
  });
}

TEST(JsonSchema, Numbers) {
  check({
      {R"({"type":"integer","minimum":-12,"maximum":105})",
       {"-12", "-9", "-1", "0", "7", "10", "99", "100", "105"},
       {"-13", "-20", "106", "110", "1000"}},
      {R"({"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":3})",
       {"1", "2"},
       {"0", "3", "-1"}},
      {R"({"type":"integer","minimum":1.5,"maximum":3.5})", {"2", "3"}, {"1", "4"}},
      {R"({"type":"integer","minimum":8})", {"8", "9", "10", "99999"}, {"7", "0", "-8"}},
      {R"({"type":"integer","maximum":-995})", {"-995", "-1000", "-12345"}, {"-994", "0", "-99"}},
      {R"({"type":"integer","minimum":5,"maximum":5})", {"5"}, {"4", "6", "55"}},
      {R"({"type":"number","minimum":0})", {"0", "0.5", "12"}, {"-1", "-0.1", "-0", "1e3"}},
      {R"({"type":"number","minimum":-1.5,"maximum":2.25})",
       {"-1.5", "-1.50", "-1.4999", "-0.1", "0", "2.25", "2.2", "2", "1.99999"},
       {"-1.51", "-1.6", "-2", "2.26", "2.2501", "3"}},
      {R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":0.5})",
       {"0.1", "0.01", "0.4999", "0.0000001"},
       {"0", "0.0", "0.5", "0.50", "0.6", "-0.1"}},
      {R"({"type":"number","minimum":0.25,"maximum":0.75})",
       {"0.25", "0.3", "0.75", "0.750"},
       {"0.2", "0.24", "0.751", "0", "1"}},
      {R"({"type":"number","maximum":-2})", {"-2", "-2.5", "-10"}, {"-1.9", "2", "0"}},
      {R"({"type":"number","exclusiveMaximum":0})", {"-1", "-0.5"}, {"0", "-0", "-0.0", "1"}},
      {R"({"type":"number","multipleOf":1})", {"3"}, {"3.5", "3.0"}},
  });
}

TEST(JsonSchema, Strings) {
  check({
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {"\"ab\"", "\"é漢😀\"", "\"\\n\\u0041\"", "\"\\ud83d\\ude00a\""},
       {"\"a\"", "\"abcd\"", "\"\"", "\"\\ud83d\\ude00\""}},
      {R"({"type":"string","pattern":"^a+$"})", {"\"a\"", "\"aaa\""}, {"\"b\"", "\"\"", "\"ab\""}},
      {R"({"type":"string","pattern":"b"})", {"\"b\"", "\"abc\""}, {"\"a\""}},
      {R"({"type":"string","pattern":"^\"\\\\\n$"})", {R"("\"\\\n")"}, {"\"\"\"", "\"\\\"\""}},
      {R"({"type":"string","pattern":"^[^a]$"})",
       {"\"b\"", "\"\\\"\"", "\"\\u0001\"", "\"\\t\""},
       {"\"a\"", "\"\t\"", "\"\\u0009\""}},
      {R"({"type":"string","pattern":"^[0-9]{3}$","minLength":1,"maxLength":9})",
       {"\"123\""},
       {"\"12\""}},
      {R"({"enum":["ab","c",1,null],"type":"string","maxLength":1})",
       {"\"c\""},
       {"\"ab\"", "1", "null"}},
      {R"({"enum":["ab","c"],"pattern":"^a"})", {"\"ab\""}, {"\"c\""}},
      {R"({"type":"string","format":"date"})",
       {"\"2024-02-29\"", "\"1999-12-31\"", "\"2000-02-29\""},
       {"\"2023-02-29\"", "\"2023-13-01\"", "\"2023-04-31\"", "\"1900-02-29\"", "\"23-01-01\""}},
      {R"({"type":"string","format":"time"})",
       {"\"23:59:59Z\"", "\"01:02:03.5+01:00\""},
       {"\"24:00:00Z\"", "\"1:02:03Z\"", "\"01:02:03\""}},
      {R"({"type":"string","format":"date-time"})",
       {"\"2024-05-17T12:30:00Z\""},
       {"\"2024-05-17\""}},
      {R"({"type":"string","format":"uuid"})",
       {"\"123e4567-e89b-12d3-a456-426614174000\""},
       {"\"123e4567e89b12d3a456426614174000\""}},
      {R"({"type":"string","format":"email"})",
       {"\"a.b@example.org\""},
       {"\"a@\"", "\"@b\"", "\"ab\""}},
      {R"({"type":"string","format":"ipv4"})",
       {"\"255.0.10.199\""},
       {"\"256.0.0.1\"", "\"1.2.3\""}},
      {R"({"type":"string","format":"ipv6"})", {"\"2001:db8:0:0:0:0:0:1\""}, {"\"::1::\""}},
      {R"({"type":"string","format":"uri"})", {"\"https://a.org/x?y=1#z\""}, {"\"a.org\""}},
      {R"({"type":"string","format":"duration"})",
       {"\"P3DT4H\"", "\"PT5M\"", "\"P2W\""},
       {"\"P\"", "\"PT\""}},
      {R"({"minLength":2})", {"\"ab\"", "1", "[]"}, {"\"a\""}},
  });
}

TEST(JsonSchema, EnumAndConst) {
  check({
      {R"({"enum":["a",1,null,true,{"x":[1, 2]}]})",
       {"\"a\"", "1", "null", "true", "{\"x\":[1,2]}"},
       {"\"b\"", "2", "{\"x\":[1]}", "a"}},
      {R"({"const":"é\n"})", {"\"é\\n\""}, {"\"e\""}},
      {R"({"enum":[1,2,3],"minimum":2})", {"2", "3"}, {"1"}},
      {R"({"enum":[1,2.5,"x"],"type":"integer"})", {"1"}, {"2.5", "\"x\""}},
      {R"({"enum":[1,2],"const":2.0})", {"2"}, {"1", "2.0"}},
  });
}

TEST(JsonSchema, Objects) {
  check({
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}}})",
       {"{}", "{\"a\":1}", "{\"b\":\"x\"}", "{\"a\": 1, \"b\": \"x\"}", "{\n  \"a\": 1\n}"},
       {"{\"b\":\"x\",\"a\":1}", "{\"a\":\"x\"}", "{\"c\":1}", "{\"a\":1,\"a\":1}", "{\"a\":1,}"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},
           "c":{"type":"integer"}},"required":["b"]})",
       {"{\"b\":1}", "{\"a\":1,\"b\":2}", "{\"b\":2,\"c\":3}", "{\"a\":1,\"b\":2,\"c\":3}"},
       {"{}", "{\"a\":1}", "{\"c\":3}", "{\"a\":1,\"c\":3}"}},
      {R"({"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":false})",
       {"{}", "{\"a\":null}"},
       {"{\"b\":null}"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})",
       {"{}", "{\"x\":1}", "{\"x\":1, \"y\":2}"},
       {"{\"x\":\"1\"}"}},
      {R"({"type":"object","properties":{"ab":{"type":"null"},"abc":{"type":"null"}},
           "additionalProperties":{"type":"integer"}})",
       {"{\"ab\":null,\"abc\":null,\"x\":1}", "{\"a\":1}", "{\"abcd\":1}", "{\"\":1}",
        "{\"ac\":2}"},
       {"{\"ab\":1}", "{\"abc\":1}", "{\"x\":null}", "{\"x\":1,\"ab\":null}", "{\"\\u0061b\":1}"}},
      {R"({"type":"object","properties":{"a":true},"additionalProperties":true})",
       {"{\"a\":[],\"z\":{}}", "{\"z\":1}"},
       {"{\"z\":1,\"a\":1}"}},
      {R"({"type":"object","required":["x"],"additionalProperties":{"type":"boolean"}})",
       {"{\"x\":true}", "{\"x\":true,\"y\":false}"},
       {"{}", "{\"y\":true}", "{\"x\":1}"}},
      {R"({"type":"object","patternProperties":{"^n_":{"type":"integer"},"^s_":{"type":"string"}}})",
       {"{}", "{\"n_a\":1}", "{\"n_a\":1,\"s_\":\"x\"}"},
       {"{\"n_a\":\"x\"}", "{\"q\":1}"}},
      {R"({"type":"object","properties":{"id":{"type":"integer"}},"required":["id"],
           "patternProperties":{"^x":{"type":"null"}},"additionalProperties":false})",
       {"{\"id\":1}", "{\"id\":1,\"xy\":null}"},
       {"{\"xy\":null}", "{\"id\":1,\"y\":null}"}},
      {R"({"type":"object","minProperties":1})", {"{\"a\":1}", "{\"a\":1,\"b\":2}"}, {"{}"}},
      {R"({"type":"object","maxProperties":2})",
       {"{}", "{\"a\":1,\"b\":2}"},
       {"{\"a\":1,\"b\":2,\"c\":3}"}},
      {R"({"properties":{"a":{"type":"integer"}},"required":["a"]})",
       {"{\"a\":1}", "3", "[]"},
       {"{}", "{\"a\":null}"}},
      {R"({"type":"object","properties":{"a\"b/\\":{"type":"null"}}})",
       {"{\"a\\\"b/\\\\\":null}"},
       {}},
      {R"({"type":"object","properties":{"a":false,"b":{"type":"null"}}})",
       {"{}", "{\"b\":null}"},
       {"{\"a\":1}"}},
  });
}

TEST(JsonSchema, Arrays) {
  check({
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1,2]", "[ 1, 2, 3 ]"},
       {"[]", "[1,2,3,4]", "[\"a\"]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]})",
       {"[]", "[1]", "[1,\"a\"]"},
       {"[\"a\"]", "[1,\"a\",2]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"string"},"minItems":2})",
       {"[1,\"a\"]", "[1,\"a\",\"b\"]"},
       {"[1]", "[1,2]", "[]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"minItems":2})",
       {"[1,null]"},
       {"[1]", "[1,2,3]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},true],"items":false,"minItems":2})",
       {"[1,{}]"},
       {"[1]", "[1,2,3]"}},
      {R"({"type":"array","items":{"type":"null"},"maxItems":0})", {"[]", "[ ]"}, {"[null]"}},
      {R"({"type":"array","prefixItems":[true,true,true],"maxItems":2})", {"[1,2]"}, {"[1,2,3]"}},
      {R"({"type":"array","items":{"type":"array","items":{"type":"boolean"}}})",
       {"[[true],[]]"},
       {"[true]"}},
  });
}

TEST(JsonSchema, References) {
  check({
      {R"({"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"integer"}}})", {"1"}, {"\"\""}},
      {R"({"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},
           "next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v"]}},
           "$ref":"#/$defs/node"})",
       {"{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
       {"{}", "{\"next\":null}"}},
      {R"({"type":"object","properties":{"c":{"type":"array","items":{"$ref":"#"}}}})",
       {"{\"c\":[{\"c\":[]},{}]}"},
       {"{\"c\":[1]}"}},
      {R"({"properties":{"a":{"$ref":"#/properties/b"},"b":{"const":2}},"type":"object"})",
       {"{\"a\":2,\"b\":2}"},
       {"{\"a\":1}"}},
      {R"({"$ref":"#/$defs/n","maximum":5,"$defs":{"n":{"type":"integer","minimum":3}}})",
       {"3", "5"},
       {"2", "6"}},
      {R"({"$ref":"#/$defs/l/1","$defs":{"l":[true,{"const":1}]}})", {"1"}, {"2"}},
      {R"({"allOf":[{"$ref":"#/$defs/n"},{"$ref":"#/$defs/n"}],"$defs":{"n":{"type":"null"}}})",
       {"null"},
       {"1"}},
  });
}

TEST(JsonSchema, Combinations) {
  check({
      {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
       {"1", "\"a\""},
       {"\"ab\"", "null"}},
      {R"({"oneOf":[{"type":"integer"},{"type":"string"}]})", {"1", "\"a\""}, {"null"}},
      {R"({"oneOf":[{"type":"integer","maximum":5},{"type":"integer","minimum":6}]})",
       {"5", "6"},
       {}},
      {R"({"oneOf":[{"enum":[1,2]},{"enum":[3,"x"]}]})", {"1", "3", "\"x\""}, {"4"}},
      {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},
           "required":["k"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]})",
       {"{\"k\":\"a\",\"x\":1}", "{\"k\":\"b\"}"},
       {"{\"k\":\"b\",\"x\":1}", "{}"}},
      {R"({"oneOf":[{"type":"object","properties":{"a":{}},"required":["a"],
           "additionalProperties":false},{"type":"object","properties":{"b":{}},"required":["b"],
           "additionalProperties":false}]})",
       {"{\"a\":1}", "{\"b\":1}"},
       {"{}", "{\"a\":1,\"b\":1}"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
           {"properties":{"b":{"type":"string"},"a":{"minimum":3}}}]})",
       {"{\"a\":3}", "{\"a\":4,\"b\":\"\"}"},
       {"{\"a\":2}", "{\"b\":\"\"}"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{}},"additionalProperties":false},
           {"properties":{"b":{}}}]})",
       {"{}", "{\"a\":1}"},
       {"{\"b\":1}"}},
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},
           "anyOf":[{"required":["a"]},{"required":["b"]}]})",
       {"{\"a\":null}", "{\"b\":null}", "{\"a\":null,\"b\":null}"},
       {"{}"}},
      {R"({"allOf":[{"type":["integer","null"]},{"type":["null","string"]}]})",
       {"null"},
       {"1", "\"\""}},
      {R"({"anyOf":[false,{"type":"null"}]})", {"null"}, {"1"}},
      {R"({"allOf":[{"items":{"type":"integer"}},{"items":{"minimum":3},"type":"array"}]})",
       {"[3,4]"},
       {"[2]", "[\"a\"]"}},
  });
}

TEST(JsonSchema, SaysWhatItDoesNotTake) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "the schema is not JSON: JSON line 1"},
      {"3", "#: a schema is an object, true or false"},
      {R"({"type":"object","properties":{"a/b":{"typ":"string"}}})",
       "#/properties/a~1b: \"typ\" is not supported"},
      {R"({"not":{}})", "\"not\" is not supported"},
      {R"({"const":"\ud800"})", "the schema has \\ud800, half a surrogate pair"},
      {R"({"enum":["\ud83d\ude00","\uDE00\ud83d"]})", "the schema has \\uDE00, half a"},
      {R"({"const":"\\\udfff"})", "the schema has \\udfff, half a surrogate pair"},
      {R"({"if":{}})", "\"if\" is not supported"},
      {R"({"type":"array","uniqueItems":true})", "\"uniqueItems\" is not supported"},
      {R"({"type":"number","multipleOf":0.1})", "\"multipleOf\" is not supported"},
      {R"({"type":"text"})", "type must be null, boolean"},
      {R"({"minLength":-1})", "minLength must be a number of things"},
      {R"({"minimum":"1"})", "minimum must be a number"},
      {R"({"required":[1]})", "required must be an array of names"},
      {R"({"properties":[]})", "properties must be an object"},
      {R"({"items":[{}]})", "is called prefixItems"},
      {R"({"anyOf":[]})", "anyOf must be an array"},
      {R"({"$ref":"#/$defs/x"})", "nothing is at $ref \"#/$defs/x\""},
      {R"({"$ref":"https://example.org/s.json"})", "references are within the schema"},
      {R"({"$ref":"#"})", "#: it refers to itself without anything in between"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})",
       "refers to itself without anything in between"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "#: it refers to itself"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
       "no text can satisfy it"},
      {"false", "no text can satisfy it"},
      {R"({"enum":[]})", "no text can satisfy it"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "no text can satisfy it"},
      {R"({"type":"string","minLength":3,"maxLength":2})", "no text can satisfy it"},
      {R"({"type":"object","required":["a"],"additionalProperties":false})",
       "no text can satisfy it"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "branches 0 and 1 of oneOf may both"},
      {R"({"oneOf":[{"type":"object"},{"type":"object","required":["a"]}]})", "use anyOf"},
      {R"js({"type":"string","pattern":"(?=a)"})js", "pattern: regular expression, character 2"},
      {R"({"type":"string","pattern":"a+","maxLength":3})", "put the counts into the pattern"},
      {R"({"type":"string","format":"color"})", "format \"color\" is not supported: date, time"},
      {R"({"type":"string","format":"date","pattern":"1"})", "pattern and format together"},
      {R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", "two different patterns hold"},
      {R"({"type":"object","minProperties":2})",
       "minProperties and maxProperties are supported only"},
      {R"({"type":"object","properties":{"ab":{}},"patternProperties":{"a":{}}})",
       "matches the patternProperties"},
      {R"({"type":"object","patternProperties":{"a":{},"b":{}}})", "match the same names"},
      {R"({"type":"string","minLength":1000000000})", "more than 1000000 states"},
      {R"({"type":"array","items":{"type":"string"},"maxItems":100000000})", "states"},
  };
  for (const auto& [schema, message] : cases) {
    const Result<GrammarAutomaton> automaton = automaton_of(schema);
    ASSERT_FALSE(automaton.has_value()) << schema;
    EXPECT_NE(automaton.error().message.find(message), std::string::npos)
        << schema << ": " << automaton.error().message;
    EXPECT_EQ(automaton.error().kind, ErrorKind::kUsage);
  }
}

// What could take for ever takes a moment.
TEST(JsonSchema, HostileOnesAreQuick) {
  std::vector<std::string> schemas;
  schemas.emplace_back(std::string(5000, '['));
  std::string chain = R"({"$ref":"#/$defs/a0","$defs":{)";
  for (int i = 0; i < 3000; ++i) {
    chain += "\"a" + std::to_string(i) + "\":{\"anyOf\":[{\"$ref\":\"#/$defs/a" +
             std::to_string(i + 1) + "\"},{\"$ref\":\"#/$defs/a" + std::to_string(i + 1) + "\"}]},";
  }
  schemas.push_back(chain + "\"a3000\":{\"type\":\"null\"}}}");
  std::string product = R"({"allOf":[)";  // 3^30 combinations
  for (int i = 0; i < 30; ++i) {
    product += std::string(i == 0 ? "" : ",") + R"({"anyOf":[{"minimum":)" + std::to_string(i) +
               R"(},{"maxLength":9},{"minItems":1}]})";
  }
  schemas.push_back(product + "]}");
  std::string wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 20'000; ++i) {
    wide += (i == 0 ? "\"p" : ",\"p") + std::to_string(i) + "\":{\"type\":\"integer\"}";
  }
  schemas.push_back(wide + "}}");
  std::string powers = R"({"$ref":"#/$defs/a0","$defs":{)";  // every combination of 2^k schemas
  for (int i = 0; i < 40; ++i) {
    const std::string next = "{\"$ref\":\"#/$defs/a" + std::to_string(i + 1) + "\"}";
    powers += "\"a" + std::to_string(i) +
              "\":{\"type\":\"object\",\"required\":[\"x\",\"y\"],"
              "\"properties\":{\"x\":{\"allOf\":[" +
              next + "," + "{\"$ref\":\"#/$defs/b" + std::to_string(i) + "\"}]},\"y\":" + next +
              "}},\"b" + std::to_string(i) + "\":{\"properties\":{\"x\":{\"title\":\"b\"}}},";
  }
  schemas.push_back(powers + "\"a40\":{\"type\":\"null\"}}}");
  schemas.emplace_back(R"({"type":"array","items":{"type":"array","items":{"type":"array","items":
      {"type":"string","maxLength":10000},"maxItems":10000},"maxItems":10000},"maxItems":10000})");
  for (const std::string& schema : schemas) {
    const auto begin = std::chrono::steady_clock::now();
    const Result<GrammarAutomaton> automaton = automaton_of(schema);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(taken.count(), 10.0) << schema.substr(0, 60);
  }
}

}  // namespace
}  // namespace minke
