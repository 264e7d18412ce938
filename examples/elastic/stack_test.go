package elastic

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// What a laptop with 8 GB can spare.
const memory = 4 << 30 // bytes

// oneShots are the services that end by themselves.
var oneShots = []string{"dashboards", "users"}

// Every variable of compose.yaml comes from setup.sh, and there is no other.
func TestVariables(t *testing.T) {
	used := slices.Sorted(maps.Keys(template.ExtractVariables(parseYAML(t, "compose.yaml"), template.DefaultPattern)))
	made := slices.Sorted(maps.Keys(secrets(t)))
	if !slices.Equal(used, made) {
		t.Errorf("compose.yaml uses\n%v, setup.sh makes\n%v", used, made)
	}
}

func TestServices(t *testing.T) {
	env := secrets(t)
	project := load(t, env)
	exact := regexp.MustCompile(`^[a-z0-9./-]+:\d+\.\d+\.\d+$`)
	var limits types.UnitBytes
	seen := 0
	each(project.Services, func(name string, s types.ServiceConfig) {
		seen++
		switch {
		case s.Build != nil:
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil || s.Image != "" {
				t.Errorf("%s is built from %+v as %q: %v", name, s.Build, s.Image, err)
			}
		case !exact.MatchString(s.Image) || !strings.HasSuffix(s.Image, ":"+env["STACK_VERSION"]):
			t.Errorf("%s: the image %q is not at the exact version of the stack", name, s.Image)
		}
		if s.MemLimit < 32<<20 {
			t.Errorf("%s has no limit of its memory", name)
		}
		limits += s.MemLimit
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s on %q", name, port.Published, port.HostIP)
			}
		}
		if s.Privileged || s.NetworkMode == "host" || s.Pid != "" || len(s.CapAdd) > 0 {
			t.Errorf("%s has more rights than a container needs", name)
		}
		restarts := "unless-stopped"
		if slices.Contains(oneShots, name) {
			restarts = map[string]string{"dashboards": "on-failure:3"}[name]
		}
		if s.Restart != restarts {
			t.Errorf("%s restarts %q, not %q", name, s.Restart, restarts)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" {
			t.Errorf("%s may fill the disk with its log", name)
		}
		checkDependencies(t, project, name, s)
		checkVolumes(t, project, name, s)
	})
	if seen != 8 {
		t.Errorf("%d services", seen)
	}
	if limits > memory {
		t.Errorf("the limits are %d MiB together, more than %d", limits>>20, memory>>20)
	}
	if heap := *project.Services["elasticsearch"].Environment["ES_JAVA_OPTS"]; heap != "-Xms1g -Xmx1g" {
		t.Errorf("Elasticsearch's heap is %q", heap)
	}
}

func checkDependencies(t *testing.T, project *types.Project, name string, s types.ServiceConfig) {
	t.Helper()
	for on, how := range s.DependsOn {
		target, ok := project.Services[on]
		once := slices.Contains(oneShots, on)
		switch {
		case !ok:
			t.Errorf("%s depends on %s, which is not there", name, on)
		case how.Condition == types.ServiceConditionHealthy && (target.HealthCheck == nil || len(target.HealthCheck.Test) < 2):
			t.Errorf("%s waits for the health of %s, which has no check", name, on)
		case (how.Condition == types.ServiceConditionCompletedSuccessfully) != once:
			t.Errorf("%s waits for %s to be %s", name, on, how.Condition)
		}
	}
}

func checkVolumes(t *testing.T, project *types.Project, name string, s types.ServiceConfig) {
	t.Helper()
	for _, v := range s.Volumes {
		switch v.Type {
		case types.VolumeTypeVolume:
			if _, ok := project.Volumes[v.Source]; !ok {
				t.Errorf("%s uses the volume %q, which is not declared", name, v.Source)
			}
		case types.VolumeTypeBind:
			info, err := os.Stat(v.Source)
			if err != nil || !info.Mode().IsRegular() || !v.ReadOnly || !slices.Contains(mounted, filepath.Base(v.Source)) {
				t.Errorf("%s mounts %s: %v, read only %v", name, v.Source, err, v.ReadOnly)
			}
		default:
			t.Errorf("%s has a mount of the type %q", name, v.Type)
		}
	}
}

// Every volume is used, or it would be data that nobody knows of.
func TestVolumesUsed(t *testing.T) {
	project := load(t, secrets(t))
	used := map[string]bool{}
	each(project.Services, func(_ string, s types.ServiceConfig) {
		for _, v := range s.Volumes {
			used[v.Source] = true
		}
	})
	for name := range project.Volumes {
		if !used[name] {
			t.Errorf("nothing uses the volume %s", name)
		}
	}
	// The chat's log is written by the one and read by the other, at one place.
	for _, service := range []string{"chat", "filebeat"} {
		if !slices.ContainsFunc(project.Services[service].Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Source == "chat-log" && v.Target == "/var/log/chat" && v.ReadOnly == (service == "filebeat")
		}) {
			t.Errorf("%s has no log of the chat", service)
		}
	}
}

var secretName = regexp.MustCompile(`(?i:password|token|secret)|_KEY$|encryptionKey`)

// No secret stands in a file: whatever is named like one is a variable.
func TestNoSecrets(t *testing.T) {
	var compose struct {
		Services map[string]struct{ Environment map[string]string }
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`^\$\{[A-Z_]+\}$`)
	seen := 0
	check := func(where, name, value string) {
		if secretName.MatchString(name) {
			seen++
			if !variable.MatchString(value) {
				t.Errorf("%s: %s is not from a variable", where, name)
			}
		}
	}
	for service, s := range compose.Services {
		for name, value := range s.Environment {
			check(service, name, value)
		}
	}
	for _, file := range []string{"kibana.yml", "apm-server.yml", "filebeat.yml"} {
		for name, value := range flat(t, file) {
			check(file, name, value)
		}
	}
	if seen < 20 {
		t.Errorf("only %d secrets were found", seen)
	}
}

// A configuration file's variables are those that its container is given; and a
// secret that a container is given has a use in it.
func TestVariablesOfFiles(t *testing.T) {
	project := load(t, secrets(t))
	for service, file := range map[string]string{
		"kibana": "kibana.yml", "apm-server": "apm-server.yml", "filebeat": "filebeat.yml", "users": "users.sh",
	} {
		text := readFile(t, file)
		for _, match := range regexp.MustCompile(`\$\{?([A-Z][A-Z_]+)`).FindAllStringSubmatch(text, -1) {
			if _, ok := project.Services[service].Environment[match[1]]; !ok && match[1] != "PAUSE" {
				t.Errorf("%s uses %s, which %s does not have", file, match[1], service)
			}
		}
		for name := range project.Services[service].Environment {
			if !strings.Contains(text, name) {
				t.Errorf("%s has %s, which %s does not use", service, name, file)
			}
		}
		mounted := slices.ContainsFunc(project.Services[service].Volumes, func(v types.ServiceVolumeConfig) bool {
			return filepath.Base(v.Source) == file && filepath.Base(v.Target) == file
		})
		if !mounted {
			t.Errorf("%s has no %s", service, file)
		}
	}
}
