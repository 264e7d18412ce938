package kibana

import (
	"encoding/json"
	"fmt"
)

// Math is an arithmetic operation on columns, as Kibana's formula editor leaves it.
type Math struct {
	Args     []MathArg    `json:"args"`
	Location MathLocation `json:"location"`
	Name     string       `json:"name"` // add, subtract, multiply, divide
	Text     string       `json:"text"`
	Type     string       `json:"type"` // function
}

// MathLocation is where in the formula's text an operation stands.
type MathLocation struct {
	Max int `json:"max"`
	Min int `json:"min"`
}

// MathArg is one of three: an operation, a column's id, or a number.
type MathArg struct {
	Math   *Math
	Column string
	Number float64
}

// MarshalJSON implements json.Marshaler.
func (a MathArg) MarshalJSON() ([]byte, error) {
	switch {
	case a.Math != nil:
		return encode(a.Math)
	case a.Column != "":
		return encode(a.Column)
	default:
		return encode(a.Number)
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *MathArg) UnmarshalJSON(data []byte) error {
	switch {
	case len(data) > 0 && data[0] == '{':
		a.Math = new(Math)
		return decode(data, a.Math)
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, &a.Column)
	}
	if err := json.Unmarshal(data, &a.Number); err != nil {
		return fmt.Errorf("argument of a formula: %w", err)
	}
	return nil
}
