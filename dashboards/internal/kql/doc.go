// Package kql reads the Kibana Query Language and says which documents a query
// matches.
//
// The language is Kibana's, to the space: what Kibana refuses is refused here
// (for example "not(a: 1)", where a space is missing), so that a query that parses
// here can be shipped. Three things that Kibana reads are refused too, because no
// dashboard of this project has a use for them and a wrong answer would be silent:
// nested groups (field: { … }), the value null, and dates that are computed
// (now-1h, 2024-01-01||/d).
//
// Documents are flat, as exporters/wire/intake makes them. Their values stand for
// the mapping: a number or a boolean matches by value ("1e3" is 1000), a string is a
// keyword, which matches exactly, case included; a field named message, or whose
// name ends so, is text, which matches by words whatever their case: any word of a
// bare value, all of them in a row of a "phrase". A list matches if one of its
// elements does. A histogram exists and matches nothing else.
//
// Known differences from Elasticsearch: the words of a text are its runs of letters
// and digits; a value on an address field is no network (10.0.0.0/8); a range over
// strings, dates included, compares their bytes, so that both sides must be written
// in the same form; a wildcard on a number matches nothing, where Elasticsearch
// answers with an error.
package kql
