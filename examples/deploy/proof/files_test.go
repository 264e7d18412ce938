package proof

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// files are the contents of those in examples/deploy, by name: tests change them to
// see whether faults are found.
type files map[string]string

var names = []string{
	"kubernetes/deployment.yaml", "kubernetes/service.yaml", "kubernetes/pdb.yaml", "kubernetes/hpa.yaml",
	"kubernetes/podmonitor.yaml", "kubernetes/keda.yaml", "kubernetes/prometheus-adapter.yaml",
	"cloudwatch/prometheus.yaml", "cloudwatch/agent.json", "cloudwatch/target-tracking.json",
}

func readFiles(t testing.TB) files {
	t.Helper()
	all := files{}
	for _, name := range names {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}

// manifests are what the files say.
type manifests struct {
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
	autoscaler autoscalingv2.HorizontalPodAutoscaler
	adapter    adapterValues
	monitor    podMonitor
	scaled     scaledObject
	scrape     scrapeConfig
	agent      agentConfig
	tracking   trackingPolicy
}

// decode decodes every file strictly: no field that its schema does not have, none
// twice, each of its type.
func decode(all files) (*manifests, error) {
	m := &manifests{}
	for name, into := range map[string]any{
		"kubernetes/deployment.yaml":         &m.deployment,
		"kubernetes/service.yaml":            &m.service,
		"kubernetes/pdb.yaml":                &m.budget,
		"kubernetes/hpa.yaml":                &m.autoscaler,
		"kubernetes/podmonitor.yaml":         &m.monitor,
		"kubernetes/keda.yaml":               &m.scaled,
		"kubernetes/prometheus-adapter.yaml": &m.adapter,
		"cloudwatch/prometheus.yaml":         &m.scrape,
		"cloudwatch/agent.json":              &m.agent,
		"cloudwatch/target-tracking.json":    &m.tracking,
	} {
		if strings.HasSuffix(name, ".json") { // which must be JSON, and not YAML alone
			if err := json.Unmarshal([]byte(all[name]), new(any)); err != nil {
				return nil, in(name, err)
			}
		}
		if err := strictly(all[name], into); err != nil {
			return nil, in(name, err)
		}
	}
	return m, nil
}

// strictly decodes as the API server does with kubectl's --validate=strict: names are
// the schema's to the letter, which encoding/json would not insist on.
func strictly(text string, into any) error {
	document, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return err
	}
	problems, err := kjson.UnmarshalStrict(document, into)
	return errors.Join(append(problems, err)...)
}
