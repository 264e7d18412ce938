package preview

import "strings"

// widths are how wide characters of common sans-serif fonts are, in parts of the
// font's size, so that room for labels is known before a browser draws them.
var widths = []struct {
	characters string
	width      float64
}{
	{"ijl'|", 0.24},
	{" !,./:;I[]\\ft", 0.28},
	{"()-r`\"–", 0.36},
	{"cksvxyzJ*", 0.5},
	{"abdeghnopquL0123456789?_#$", 0.56},
	{"+<=>~", 0.59},
	{"FTZ", 0.62},
	{"ABEKPSVXY&", 0.67},
	{"CDHNRUw", 0.73},
	{"GOQ", 0.78},
	{"Mm", 0.84},
	{"%", 0.89},
	{"W…", 1},
}

// textWidth is about how wide a text is, in pixels.
func textWidth(text string, size float64) float64 {
	total := 0.0
next:
	for _, r := range text {
		for _, w := range widths {
			if strings.ContainsRune(w.characters, r) {
				total += w.width
				continue next
			}
		}
		total += 1.02
	}
	return total * size
}

// cut shortens a label to a width, with an ellipsis.
func cut(text string, width float64) string {
	if textWidth(text, labelSize) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && textWidth(string(runes)+"…", labelSize) > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ") + "…"
}
