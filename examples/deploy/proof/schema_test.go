package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// customResource is a definition that its vendor publishes in a Go module. Importing
// that would bring all of the vendor's dependencies, of which nothing is needed.
type customResource struct {
	module, sum string // with the version; the checksum as go.sum has it
	file        string
	version     string // of the resource
	manifest    string
}

var customResources = []customResource{
	{
		module: "github.com/kedacore/keda/v2@v2.18.3", sum: "h1:PY3o80tzBAzCffS8J6eBZctT4B+g/r26zErNSMleC50=",
		file: "config/crd/bases/keda.sh_scaledobjects.yaml", version: "v1alpha1", manifest: "kubernetes/keda.yaml",
	},
	{
		module: "github.com/prometheus-operator/prometheus-operator@v0.85.0", sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		file:    "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		version: "v1", manifest: "kubernetes/podmonitor.yaml",
	},
}

// definition downloads a module, or takes it from the module cache, and returns the
// file of it.
func (c customResource) definition(t *testing.T) []byte {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", c.module)
	cmd.Dir = t.TempDir() // outside of this module, which does not depend on it
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if json.Unmarshal(out, &got) != nil || err != nil || got.Sum != c.sum {
		t.Fatalf("%s: %v: %+v", c.module, err, got)
	}
	text, err := os.ReadFile(filepath.Join(got.Dir, filepath.FromSlash(c.file)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// schema compiles the schema of a definition. The API server drops fields that a
// schema does not have, or refuses them (kubectl --validate=strict): here they are
// errors.
func (c customResource) schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					OpenAPI map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(c.definition(t), &crd); err != nil {
		t.Fatal(err)
	}
	for _, v := range crd.Spec.Versions {
		if v.Name != c.version {
			continue
		}
		strict(v.Schema.OpenAPI)
		// metadata is checked by the API server itself.
		properties := v.Schema.OpenAPI["properties"].(map[string]any)
		properties["metadata"] = map[string]any{"type": "object"}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("file:///schema", v.Schema.OpenAPI); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile("file:///schema")
		if err != nil {
			t.Fatal(err)
		}
		return schema
	}
	t.Fatalf("%s has no version %s", c.file, c.version)
	return nil
}

// strict closes every object of a schema that does not say that it is open.
func strict(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, has := node["properties"].(map[string]any)
		_, more := node["additionalProperties"]
		if keep, _ := node["x-kubernetes-preserve-unknown-fields"].(bool); has && !more && !keep {
			node["additionalProperties"] = false
		}
		for _, below := range node {
			strict(below)
		}
	case []any:
		for _, below := range node {
			strict(below)
		}
	}
}

// TestCustomResources: KEDA's and the Prometheus Operator's resources follow the
// schemas that these install, and faults are found.
func TestCustomResources(t *testing.T) {
	all := readFiles(t)
	schemas := make([]*jsonschema.Schema, len(customResources))
	for i, c := range customResources {
		schemas[i] = c.schema(t)
	}
	validate := func(i int, text string) error {
		var object any
		if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
			return err
		}
		return schemas[i].Validate(object)
	}
	for i, c := range customResources {
		if err := validate(i, all[c.manifest]); err != nil {
			t.Errorf("%s: %v", c.manifest, err)
		}
	}
	for fault, change := range map[string]struct {
		of       int
		from, to string
	}{
		"a misspelt field":           {0, "pollingInterval:", "pollInterval:"},
		"a misspelt field far below": {0, "stabilizationWindowSeconds: 1800", "stabilisationWindowSeconds: 1800"},
		"a value that is not listed": {0, "currentReplicasIfHigher", "asManyAsThereAre"},
		"a number that is a string":  {0, "maxReplicaCount: 20", `maxReplicaCount: "20"`},
		"a string that is a number":  {0, `threshold: "10000"`, "threshold: 10000"},
		"no target":                  {0, "scaleTargetRef:\n    name: chat", "cooldownPeriod: 300"},
		"a field of another kind":    {1, "podMetricsEndpoints", "endpoints"},
		"no duration":                {1, "interval: 15s", "interval: 15 seconds"},
		"a field twice":              {1, "path: /metrics", "path: /metrics\n      path: /metrics"},
	} {
		text := all[customResources[change.of].manifest]
		wrong := strings.Replace(text, change.from, change.to, 1)
		if wrong == text {
			t.Fatalf("%s: nothing to change", fault)
		}
		var invalid *jsonschema.ValidationError
		err := validate(change.of, wrong)
		if err == nil || (!errors.As(err, &invalid) && !strings.Contains(fmt.Sprint(err), "already set")) {
			t.Errorf("%s: %v", fault, err)
		}
	}
}
