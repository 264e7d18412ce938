package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName  = 32   // characters of a user's or room's name
	maxText  = 2000 // characters of what is said at once
	nameRule = "a name has 1 to 32 letters, digits, spaces or any of . _ - ' and neither begins nor ends with a space"
)

// validName says whether a user or room may have that name.
func validName(name string) bool {
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.TrimSpace(name) != name {
		return false
	}
	for _, r := range name {
		if !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune(" ._-'", r) {
			return false
		}
		// Some letters and marks show nothing, and would make two names look alike.
		if unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return false
		}
	}
	return true
}

// validText says whether that may be said: something visible, no control
// characters but line breaks and tabs.
func validText(text string) bool {
	if utf8.RuneCountInString(text) > maxText || strings.TrimSpace(text) == "" {
		return false
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}
