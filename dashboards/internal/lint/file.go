package lint

import "fmt"

// fileRules are about the lines of the file.
func fileRules() []rule {
	return []rule{
		{
			Rule: Rule{"file-json", "Every line must be one JSON object and the last must end: Kibana answers 400 to the whole file."},
			file: checkLines,
		},
		{
			Rule: Rule{"file-details", "The last line must hold the export details, and they must agree with the objects: Kibana skips the line, other tools count by it."},
			file: checkDetails,
		},
		{
			Rule: Rule{"file-unique", "Type and id must be unique together: Kibana refuses the whole file with 400."},
			file: func(f *file, report sayAt) {
				seen := make(map[reference]bool)
				for _, o := range f.objects {
					key := reference{typ: o.typ, id: o.id}
					if seen[key] {
						report(o.where(), "there is another %s of this id", o.typ)
					}
					seen[key] = true
				}
			},
		},
	}
}

func checkLines(f *file, report sayAt) {
	if len(f.lines) == 0 {
		report("the file", "it is empty")
	}
	for i, l := range f.lines {
		if l.raw == nil {
			report(f.lineName(i), "it is no JSON object")
		}
	}
	for i, l := range f.lines {
		if i > 0 && l.number != f.lines[i-1].number+1 {
			report(f.lineName(i), "an empty line is before it")
		}
	}
}

func (f *file) lineName(i int) string {
	return fmt.Sprintf("line %d", f.lines[i].number)
}

func checkDetails(f *file, report sayAt) {
	for i, l := range f.lines {
		last := i == len(f.lines)-1
		if l.isDetails() != last {
			report(f.lineName(i), "the export details are in the last line alone")
		}
		if !l.isDetails() {
			continue
		}
		if n, ok := whole(l.raw, "exportedCount"); !ok || n != len(f.objects) {
			report(f.lineName(i), "exportedCount is %v, the objects are %d", l.raw["exportedCount"], len(f.objects))
		}
		for count, members := range map[string]string{"missingRefCount": "missingReferences", "excludedObjectsCount": "excludedObjects"} {
			n, ok := whole(l.raw, count)
			if list, isList := l.raw[members].([]any); !ok || n != 0 || !isList || len(list) != 0 {
				report(f.lineName(i), "%s must be 0 and %s an empty list", count, members)
			}
		}
		for _, key := range unknown(l.raw, "exportedCount missingRefCount missingReferences excludedObjectsCount excludedObjects") {
			report(f.lineName(i), "%s is none of the details", key)
		}
	}
}
