// Package lint finds what is wrong in a file of Kibana dashboards before a Kibana
// shows it as an empty panel, or refuses the file.
//
// It reads the file's raw JSON, and nothing of the types that wrote it, so that a
// wrong name in those types is found as well. [Rules] tells every rule and what
// would break without it: facts about Kibana from 8.12 to 9.x, and rules that this
// project has set itself. Where Kibana would accept more forms than one, the rules
// demand the one that this project ships.
package lint
