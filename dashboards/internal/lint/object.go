package lint

import "strings"

const objectKeys = "type id attributes references managed coreMigrationVersion typeMigrationVersion"

// typeVersions are the versions to ship, by type.
func typeVersion(typ string) string {
	switch typ {
	case typeDashboard:
		return "8.9.0"
	case typeDataView, typeSearch:
		return "8.0.0"
	}
	return ""
}

// objectRules are about the frame of every saved object.
func objectRules() []rule {
	return []rule{
		{
			Rule:   Rule{"object-type", "Only dashboards, data views (index-pattern) and saved searches are shipped: other types are unknown to some Kibana from 8.12 on, and the import fails with unsupported_type."},
			object: checkType,
		},
		{
			Rule:   Rule{"object-keys", "An object has type, id, attributes, references, managed and both versions, and no more: created_at, updated_at, created_by, updated_by, version, originId and namespaces belong to the Kibana that made the object."},
			object: checkObjectKeys,
		},
		{
			Rule: Rule{"object-managed", "managed must be false: true makes the object read-only in Kibana."},
			object: func(o *object, say say) {
				if !isFalse(o.raw, "managed") {
					say("managed is %v, not false", o.raw["managed"])
				}
			},
		},
		{
			Rule: Rule{"object-core-version", "coreMigrationVersion must be 8.8.0: what is no version, or a newer one than the Kibana, gives 422."},
			object: func(o *object, say say) {
				if text(o.raw, "coreMigrationVersion") != "8.8.0" {
					say("coreMigrationVersion is %v, not 8.8.0", o.raw["coreMigrationVersion"])
				}
			},
		},
		{
			Rule:   Rule{"object-type-version", "typeMigrationVersion must be 8.9.0 for dashboards and 8.0.0 for data views and searches: a newer one gives 422 on Kibana 8.12, without one old migrations run that take allowNoIndex from data views."},
			object: checkTypeVersion,
		},
		{
			Rule:   Rule{"object-references", "references must be a list of objects of type, id and name, each name once: Kibana looks them up by name."},
			object: checkReferenceList,
		},
	}
}

func checkType(o *object, say say) {
	if typeVersion(o.typ) == "" {
		say("type %q is not shipped", o.typ)
	}
}

func checkObjectKeys(o *object, say say) {
	for _, key := range unknown(o.raw, objectKeys) {
		say("%s is not shipped", key)
	}
	for _, key := range missing(o.raw, objectKeys) {
		say("%s is missing", key)
	}
	if has(o.raw, "id") && strings.TrimSpace(o.id) == "" {
		say("id is %v", o.raw["id"])
	}
	if has(o.raw, "attributes") && o.attributes == nil {
		say("attributes are no object")
	}
}

func checkTypeVersion(o *object, say say) {
	if want := typeVersion(o.typ); want != "" && text(o.raw, "typeMigrationVersion") != want {
		say("typeMigrationVersion is %v, not %s", o.raw["typeMigrationVersion"], want)
	}
}

func checkReferenceList(o *object, say say) {
	checkReferences(o.raw, say)
}

// checkReferences is about the references of an object or of a panel.
func checkReferences(of map[string]any, say say) {
	list, ok := of["references"].([]any)
	if has(of, "references") && !ok {
		say("references are no list")
	}
	seen := make(map[string]bool)
	for _, r := range list {
		name := text(r, "name")
		if len(members(r)) != 3 || name == "" || text(r, "id") == "" || text(r, "type") == "" {
			say("reference %q must have type, id and name alone", name)
		}
		if seen[name] {
			say("there are two references of name %s", name)
		}
		seen[name] = true
	}
}
