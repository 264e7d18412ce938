package preview

import (
	"regexp"
	"strings"
)

// block is a paragraph, a heading, a list or a piece of code.
type block struct {
	Heading int
	Ordered bool
	List    bool
	Items   [][]span // of a list; else one
	Code    string
}

// span is a stretch of text in one style.
type span struct {
	Text string
	Bold bool
	Code bool
	Soft bool // emphasized
	Link bool
}

var (
	bullet   = regexp.MustCompile(`^\s*[-*+]\s+(.*)$`)
	numbered = regexp.MustCompile(`^\s*\d+[.)]\s+(.*)$`)
	heading  = regexp.MustCompile(`^(#{1,6})\s+(.*)$`)
	marks    = regexp.MustCompile("`([^`]+)`|\\*\\*([^*]+)\\*\\*|\\*([^*]+)\\*|_([^_]+)_|\\[([^\\]]+)\\]\\(([^)]*)\\)")
)

// markdown reads what the texts of dashboards use of Markdown. All else is text.
func markdown(text string) []block {
	var all []block
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			all = append(all, block{Items: [][]span{spans(strings.Join(paragraph, " "))}})
			paragraph = nil
		}
	}
	item := func(ordered bool, text string) {
		flush()
		if n := len(all); n == 0 || !all[n-1].List || all[n-1].Ordered != ordered {
			all = append(all, block{List: true, Ordered: ordered})
		}
		last := &all[len(all)-1]
		last.Items = append(last.Items, spans(text))
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if strings.HasPrefix(line, "```") {
			flush()
			var code []string
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
				code = append(code, lines[i])
			}
			all = append(all, block{Code: strings.Join(code, "\n")})
			continue
		}
		switch m := heading.FindStringSubmatch(line); {
		case m != nil:
			flush()
			all = append(all, block{Heading: len(m[1]), Items: [][]span{spans(m[2])}})
		case bullet.MatchString(line):
			item(false, bullet.FindStringSubmatch(line)[1])
		case numbered.MatchString(line):
			item(true, numbered.FindStringSubmatch(line)[1])
		case strings.TrimSpace(line) == "":
			flush()
		default:
			paragraph = append(paragraph, strings.TrimSpace(line))
		}
	}
	flush()
	return all
}

func spans(text string) []span {
	var all []span
	for text != "" {
		at := marks.FindStringSubmatchIndex(text)
		if at == nil {
			return append(all, span{Text: text})
		}
		if at[0] > 0 {
			all = append(all, span{Text: text[:at[0]]})
		}
		part := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return text[at[2*n]:at[2*n+1]]
		}
		switch {
		case part(1) != "":
			all = append(all, span{Text: part(1), Code: true})
		case part(2) != "":
			all = append(all, span{Text: part(2), Bold: true})
		case part(3)+part(4) != "":
			all = append(all, span{Text: part(3) + part(4), Soft: true})
		default:
			// Where it leads is of no use in a picture.
			all = append(all, span{Text: part(5), Link: true})
		}
		text = text[at[1]:]
	}
	return all
}
