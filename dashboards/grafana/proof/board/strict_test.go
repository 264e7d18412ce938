package board

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// decoder is what the SDK generates for each type. It returns an empty list of errors
// where there are none, which is no nil error: the SDK takes that for a failure
// itself, and leaves panels, queries and options out without a word. So these are
// decoded here, one by one.
type decoder interface{ UnmarshalJSONStrict(raw []byte) error }

func decode(raw []byte, into decoder) error {
	err := into.UnmarshalJSONStrict(raw)
	if list := cog.BuildErrors(nil); errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}

// strictly decodes a dashboard as Grafana's schema has it.
func strictly(text []byte) (dashboard.Dashboard, error) {
	var board dashboard.Dashboard
	if err := decode(text, &board); err != nil {
		return board, err
	}
	var raw struct {
		Panels []json.RawMessage `json:"panels"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return board, err
	}
	board.Panels = nil
	for _, panel := range raw.Panels {
		decoded, err := strictPanel(panel)
		if err != nil {
			return board, err
		}
		board.Panels = append(board.Panels, decoded)
	}
	return board, board.Validate()
}

func strictPanel(raw []byte) (dashboard.PanelOrRowPanel, error) {
	var parts struct {
		Type        string            `json:"type"`
		Targets     []json.RawMessage `json:"targets"`
		Options     json.RawMessage   `json:"options"`
		FieldConfig struct {
			Defaults struct {
				Custom json.RawMessage `json:"custom"`
			} `json:"defaults"`
		} `json:"fieldConfig"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return dashboard.PanelOrRowPanel{}, err
	}
	if parts.Type == "row" {
		var row dashboard.RowPanel
		err := decode(raw, &row)
		if row.Panels == nil {
			row.Panels = []dashboard.Panel{} // as the file has it
		}
		return dashboard.PanelOrRowPanel{RowPanel: &row}, err
	}
	var panel dashboard.Panel
	if err := decode(raw, &panel); err != nil {
		return dashboard.PanelOrRowPanel{}, err
	}
	panel.Targets = nil
	for _, target := range parts.Targets {
		var q prometheus.Dataquery
		if err := decode(target, &q); err != nil {
			return dashboard.PanelOrRowPanel{}, err
		}
		panel.Targets = append(panel.Targets, q)
	}
	if len(panel.Targets) == 0 {
		return dashboard.PanelOrRowPanel{}, fmt.Errorf("panel %s asks nothing", *panel.Title)
	}
	var err error
	switch parts.Type {
	case "stat":
		var options stat.Options
		err = decode(parts.Options, &options)
		panel.Options = options
	case "timeseries":
		var options timeseries.Options
		var custom timeseries.FieldConfig
		err = errors.Join(decode(parts.Options, &options), decode(parts.FieldConfig.Defaults.Custom, &custom))
		panel.Options, panel.FieldConfig.Defaults.Custom = options, custom
	default:
		err = fmt.Errorf("a panel of the type %s", parts.Type)
	}
	return dashboard.PanelOrRowPanel{Panel: &panel}, err
}
