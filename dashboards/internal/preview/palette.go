package preview

import (
	"cmp"
	"image"
	"image/color"
	"slices"
)

// paletted returns a picture in its 256 most frequent colours, a third of the size in
// a file: flat areas keep theirs, edges of letters get the nearest.
func paletted(from image.Image) *image.Paletted {
	type tally struct {
		colour color.RGBA
		count  int
	}
	bounds := from.Bounds()
	counts := map[color.RGBA]int{}
	colourAt := func(x, y int) color.RGBA {
		r, g, b, _ := from.At(x, y).RGBA()
		return color.RGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 255}
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[colourAt(x, y)]++
		}
	}
	// Of colours that differ little, the most frequent stands for all.
	groups := map[color.RGBA]tally{}
	for c, n := range counts {
		near := color.RGBA{R: c.R >> 3, G: c.G >> 3, B: c.B >> 3}
		best := groups[near]
		if best.count == 0 || n > counts[best.colour] || (n == counts[best.colour] && less(c, best.colour)) {
			best.colour = c
		}
		best.count += n
		groups[near] = best
	}
	var all []tally
	for _, g := range groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(x, y tally) int {
		if x.count != y.count {
			return cmp.Compare(y.count, x.count)
		}
		if less(x.colour, y.colour) {
			return -1
		}
		return 1
	})
	var colours color.Palette
	for _, t := range all[:min(len(all), 256)] {
		colours = append(colours, t.colour)
	}
	to := image.NewPaletted(bounds, colours)
	index := map[color.RGBA]uint8{}
	for c := range counts {
		index[c] = uint8(colours.Index(c))
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			to.SetColorIndex(x, y, index[colourAt(x, y)])
		}
	}
	return to
}

func less(x, y color.RGBA) bool {
	return int(x.R)<<16|int(x.G)<<8|int(x.B) < int(y.R)<<16|int(y.G)<<8|int(y.B)
}
