// JSON Schema (draft 2020-12) as a grammar: every text of it is JSON that the schema allows.
//
// What a schema allows is written in the forms of grammar_json.h, and further in this canonical
// form:
//   - properties come in the order of the schema; where `properties` or `patternProperties` stand
//     without `additionalProperties`, no others come (say "additionalProperties": true for them),
//     and they come last; their names are written without needless escapes;
//   - behind `prefixItems` without `items` no more items come than minItems wants;
//   - enum and const are written compactly; a string with `pattern` or `format` without needless
//     escapes; dates have years from 1000, ipv6 addresses are written in full, uris are http(s)
//     or ftp ones.
//
// Keywords: type, enum, const; properties, required, additionalProperties, patternProperties,
// minProperties, maxProperties; items, prefixItems, minItems, maxItems; minLength, maxLength,
// pattern, format; minimum, maximum, exclusiveMinimum, exclusiveMaximum; anyOf, oneOf, allOf; $ref
// (within the schema, recursive ones too), $defs. allOf and keywords beside $ref, anyOf and oneOf
// are merged. oneOf is taken as anyOf where its branches are seen to exclude each other (by type,
// by enum or const, by ranges, by a required property) and is an error otherwise. Annotations
// (title, description, default, examples, ...) mean nothing here. Whatever else there is, is an
// error that says where: a keyword that were ignored would give values that the schema forbids.
//
// The schema is hostile: nesting, counts and the number of combinations are bounded.
#pragma once

#include <string_view>

#include "core/result.h"
#include "text/grammar.h"

namespace minke {

// A grammar whose rule 0 is the schema's values.
Result<Grammar> json_schema_grammar(std::string_view schema);

}  // namespace minke
