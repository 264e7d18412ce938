package elastic

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/apmws/go-apmws/dashboards"
)

// workflow is what the tests look at in the dashboards workflow.
type workflow struct {
	On struct {
		PullRequest struct{ Paths []string } `yaml:"pull_request"`
	}
	Permissions map[string]string
	Jobs        map[string]struct {
		Strategy struct {
			FailFast bool `yaml:"fail-fast"`
			Matrix   struct{ Version []string }
		}
		Needs []string
		If    string
		Steps []struct{ Name, Run string }
	}
}

func readWorkflow(t *testing.T) (w workflow) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, filepath.Join(checkout, ".github/workflows/dashboards.yml"))), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// The version that is tried here is among those that the dashboards are tried
// in; and each of those is exact.
func TestWorkflowVersions(t *testing.T) {
	workflow := readWorkflow(t)
	kibana, exact := workflow.Jobs["kibana"].Strategy, regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	versions := kibana.Matrix.Version
	for _, version := range versions {
		if !exact.MatchString(version) {
			t.Errorf("the version %q is not exact", version)
		}
	}
	if !slices.Contains(versions, "8.12.2") || !slices.Contains(versions, secrets(t)["STACK_VERSION"]) || len(versions) < 3 || kibana.FailFast {
		t.Errorf("the versions are %q, fail-fast %v", versions, kibana.FailFast)
	}
	if all := workflow.Jobs["all"]; !slices.Equal(all.Needs, []string{"kibana", "stack"}) || all.If != "always()" {
		t.Errorf("the last job needs %q, if %s", all.Needs, all.If)
	}
	if len(workflow.Permissions) != 1 || workflow.Permissions["contents"] != "read" {
		t.Errorf("the permissions are %v", workflow.Permissions)
	}
}

// It runs for a change of whatever the image is made of, and the documents.
func TestWorkflowPaths(t *testing.T) {
	paths := readWorkflow(t).On.PullRequest.Paths
	covered := func(name string) bool {
		return slices.ContainsFunc(paths, func(pattern string) bool {
			if below, ok := strings.CutSuffix(pattern, "/**"); ok {
				return name == below || strings.HasPrefix(name, below+"/")
			}
			return pattern == name || strings.HasPrefix(pattern, "**/") && filepath.Base(name) == strings.TrimPrefix(pattern, "**/")
		})
	}
	for _, name := range []string{
		"apmws", "dashboards", "exporters/elasticws", "exporters/wire/hour", "exporters/wire/intake", "examples/chat", "examples/load",
		"examples/elastic", ".dockerignore", "go.mod", "examples/go.mod", "exporters/wire/go.mod", "go.work",
		".github/workflows/dashboards.yml",
	} {
		if _, err := os.Stat(filepath.Join(checkout, name)); err != nil || !covered(name) {
			t.Errorf("a change of %s does not start it: %v", name, err)
		}
	}
	if covered("README.md") {
		t.Error("a change of anything starts it")
	}
}

// A panel that may be empty while the chat is well is one of the dashboards; and
// with the documents of the hour none may be.
func TestWorkflowPanels(t *testing.T) {
	titles := map[string]bool{}
	for line := range strings.Lines(string(dashboards.Kibana())) {
		var object struct {
			Type       string
			Attributes struct{ PanelsJSON string }
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		if object.Type != "dashboard" {
			continue
		}
		var panels []struct {
			Title            string
			EmbeddableConfig struct{ Title string }
		}
		if err := json.Unmarshal([]byte(object.Attributes.PanelsJSON), &panels); err != nil {
			t.Fatal(err)
		}
		for _, p := range panels {
			titles[p.Title], titles[p.EmbeddableConfig.Title] = true, true
		}
	}
	looks := 0
	for job, j := range readWorkflow(t).Jobs {
		for _, step := range j.Steps {
			named := regexp.MustCompile(`-may-be-empty "([^"]+)"`).FindAllStringSubmatch(step.Run, -1)
			if strings.Contains(step.Run, "-pictures") {
				looks++
			}
			if (len(named) > 0) != (job == "stack" && strings.Contains(step.Run, "-pictures")) || len(named) > 10 {
				t.Errorf("%s, %s: %d panels may be empty", job, step.Name, len(named))
			}
			for _, match := range named {
				if !titles[match[1]] {
					t.Errorf("there is no panel %q, which may be empty", match[1])
				}
			}
		}
	}
	if looks != 2 || len(titles) < 50 {
		t.Errorf("it looks at dashboards %d times, of %d titles", looks, len(titles))
	}
}

// No step reads .env into its own shell: what is there, such as the version, would
// go before what the workflow says.
func TestWorkflowKeepsItsVersion(t *testing.T) {
	reads := regexp.MustCompile(`(^|[;&({]\s*)(\.|source)\s+\S*\.env`)
	seen := 0
	for job, j := range readWorkflow(t).Jobs {
		for _, step := range j.Steps {
			for line := range strings.Lines(step.Run) {
				line = strings.TrimSpace(line)
				if !reads.MatchString(line) {
					continue
				}
				seen++
				if !strings.Contains(line, "$(. ./.env && ") && !strings.HasPrefix(line, "( set -a && . ./.env && ") {
					t.Errorf("%s, %s: %s", job, step.Name, line)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d steps read .env", seen)
	}
	if readme := readFile(t, "README.md"); !strings.Contains(readme, "\n(set -a && . ./.env && ./demo.sh /tmp/hour)\n") {
		t.Error("README.md reads .env into a person's shell, or not at all")
	}
}
