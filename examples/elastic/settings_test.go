package elastic

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// known are the names of settings that were looked up, each on its page of the
// vendor's documentation, below https://www.elastic.co/docs/. A name that is not
// among them may be right: look it up, and add it with its page.
var known = map[string]map[string]string{
	"kibana.yml": {
		"server.host":                                   "reference/kibana/configuration-reference/general-settings",
		"server.shutdownTimeout":                        "reference/kibana/configuration-reference/general-settings",
		"server.publicBaseUrl":                          "reference/kibana/configuration-reference/general-settings",
		"elasticsearch.hosts":                           "reference/kibana/configuration-reference/general-settings",
		"elasticsearch.username":                        "reference/kibana/configuration-reference/general-settings",
		"elasticsearch.password":                        "reference/kibana/configuration-reference/general-settings",
		"newsfeed.enabled":                              "reference/kibana/configuration-reference/general-settings",
		"telemetry.optIn":                               "reference/kibana/configuration-reference/telemetry-settings",
		"monitoring.ui.container.elasticsearch.enabled": "deploy-manage/deploy/self-managed/install-kibana-with-docker",
		"xpack.security.encryptionKey":                  "deploy-manage/security/secure-saved-objects",
		"xpack.encryptedSavedObjects.encryptionKey":     "deploy-manage/security/secure-saved-objects",
		"xpack.reporting.encryptionKey":                 "reference/kibana/configuration-reference/reporting-settings",
	},
	"apm-server.yml": {
		"apm-server.host":               "solutions/observability/apm/apm-server/configure",
		"apm-server.auth.secret_token":  "solutions/observability/apm/apm-server/configure",
		"output.elasticsearch.hosts":    "solutions/observability/apm/apm-server/configure-elasticsearch-output",
		"output.elasticsearch.username": "solutions/observability/apm/apm-server/configure-elasticsearch-output",
		"output.elasticsearch.password": "solutions/observability/apm/apm-server/configure-elasticsearch-output",
	},
	"filebeat.yml": {
		"filebeat.inputs.type":                              "reference/beats/filebeat/configuration-filebeat-options",
		"filebeat.inputs.id":                                "reference/beats/filebeat/filebeat-input-filestream",
		"filebeat.inputs.paths":                             "reference/beats/filebeat/filebeat-input-filestream",
		"filebeat.inputs.parsers.ndjson.target":             "reference/beats/filebeat/filebeat-input-filestream",
		"filebeat.inputs.parsers.ndjson.overwrite_keys":     "reference/beats/filebeat/filebeat-input-filestream",
		"filebeat.inputs.parsers.ndjson.expand_keys":        "reference/beats/filebeat/filebeat-input-filestream",
		"filebeat.inputs.parsers.ndjson.add_error_key":      "reference/beats/filebeat/filebeat-input-filestream",
		"filebeat.inputs.prospector.scanner.check_interval": "reference/beats/filebeat/filebeat-input-filestream",
		"name":                                   "reference/beats/filebeat/configuration-general-options",
		"processors.add_fields.target":           "reference/beats/filebeat/add-fields",
		"processors.add_fields.fields.type":      "reference/beats/filebeat/add-fields",
		"processors.add_fields.fields.dataset":   "reference/beats/filebeat/add-fields",
		"processors.add_fields.fields.namespace": "reference/beats/filebeat/add-fields",
		"output.elasticsearch.hosts":             "reference/beats/filebeat/elasticsearch-output",
		"output.elasticsearch.username":          "reference/beats/filebeat/elasticsearch-output",
		"output.elasticsearch.password":          "reference/beats/filebeat/elasticsearch-output",
		"output.elasticsearch.index":             "reference/beats/filebeat/elasticsearch-output",
		"setup.template.enabled":                 "reference/beats/filebeat/configuration-template",
		"setup.template.name":                    "reference/beats/filebeat/configuration-template",
		"setup.template.pattern":                 "reference/beats/filebeat/configuration-template",
		"setup.ilm.enabled":                      "reference/beats/filebeat/ilm",
	},
	// In the environment.
	"elasticsearch": {
		"discovery.type":                                    "reference/elasticsearch/configuration-reference/discovery-cluster-formation-settings",
		"cluster.name":                                      "deploy-manage/deploy/self-managed/important-settings-configuration",
		"ELASTIC_PASSWORD":                                  "deploy-manage/deploy/self-managed/install-elasticsearch-docker-configure",
		"ES_JAVA_OPTS":                                      "deploy-manage/deploy/self-managed/install-elasticsearch-docker-prod",
		"xpack.security.enabled":                            "reference/elasticsearch/configuration-reference/security-settings",
		"xpack.security.http.ssl.enabled":                   "reference/elasticsearch/configuration-reference/security-settings",
		"xpack.security.transport.ssl.enabled":              "reference/elasticsearch/configuration-reference/security-settings",
		"xpack.license.self_generated.type":                 "reference/elasticsearch/configuration-reference/license-settings",
		"xpack.ml.enabled":                                  "reference/elasticsearch/configuration-reference/machine-learning-settings",
		"ingest.geoip.downloader.enabled":                   "reference/enrich-processor/geoip-processor",
		"cluster.routing.allocation.disk.threshold_enabled": "reference/elasticsearch/configuration-reference/cluster-level-shard-allocation-routing-settings",
	},
	"chat": {
		"ELASTIC_APM_SERVER_URL":     "reference/apm/agents/go/configuration",
		"ELASTIC_APM_SECRET_TOKEN":   "reference/apm/agents/go/configuration",
		"ELASTIC_APM_SERVICE_NAME":   "reference/apm/agents/go/configuration",
		"ELASTIC_APM_ENVIRONMENT":    "reference/apm/agents/go/configuration",
		"ELASTIC_APM_CLOUD_PROVIDER": "reference/apm/agents/go/configuration",
		"CHAT_JWT_SECRET":            "", // the chat's own
	},
}

func TestSettingsWereLookedUp(t *testing.T) {
	check := func(where string, names []string) {
		slices.Sort(names)
		for _, name := range names {
			if _, ok := known[where][name]; !ok {
				t.Errorf("%s: the setting %s was not looked up", where, name)
			}
		}
		for name := range known[where] {
			if !slices.Contains(names, name) {
				t.Errorf("%s: the setting %s is not used any more", where, name)
			}
		}
	}
	for _, file := range []string{"kibana.yml", "apm-server.yml", "filebeat.yml"} {
		check(file, slices.Collect(maps.Keys(flat(t, file))))
	}
	project := load(t, secrets(t))
	for _, service := range []string{"elasticsearch", "chat"} {
		check(service, slices.Collect(maps.Keys(project.Services[service].Environment)))
	}
}

// Who talks to whom, as what: across files.
func TestSettingsAgree(t *testing.T) {
	project := load(t, secrets(t))
	filebeat, apm, kibana := flat(t, "filebeat.yml"), flat(t, "apm-server.yml"), flat(t, "kibana.yml")
	for what, pair := range map[string][2]string{
		"Filebeat's data stream": {
			filebeat["output.elasticsearch.index"],
			filebeat["processors.add_fields.fields.type"] + "-" + filebeat["processors.add_fields.fields.dataset"] + "-" +
				filebeat["processors.add_fields.fields.namespace"],
		},
		"Filebeat's Elasticsearch": {filebeat["output.elasticsearch.hosts"], "[http://elasticsearch:9200]"},
		"APM's Elasticsearch":      {apm["output.elasticsearch.hosts"], "[http://elasticsearch:9200]"},
		"Kibana's Elasticsearch":   {kibana["elasticsearch.hosts"], "[http://elasticsearch:9200]"},
		"the setup's":              {"[" + *project.Services["users"].Environment["ES_URL"] + "]", "[http://elasticsearch:9200]"},
		"the agent's server":       {*project.Services["chat"].Environment["ELASTIC_APM_SERVER_URL"], "http://apm-server:8200"},
		"the agent's token":        {*project.Services["chat"].Environment["ELASTIC_APM_SECRET_TOKEN"], *project.Services["apm-server"].Environment["APM_SECRET_TOKEN"]},
		"the names of the chat":    {filebeat["name"], project.Services["chat"].Hostname},
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			t.Errorf("%s: %q and %q", what, pair[0], pair[1])
		}
	}
	users := readFile(t, "users.sh")
	for _, user := range []string{filebeat["output.elasticsearch.username"], apm["output.elasticsearch.username"], kibana["elasticsearch.username"], "dashboards"} {
		if !strings.Contains(users, "/_security/user/"+user+" ") && !strings.Contains(users, "/_security/user/"+user+"/_password ") {
			t.Errorf("users.sh does not make the user %q", user)
		}
	}
}

// flat returns a file's settings by their full names. Lists of settings count by
// what is in them, lists of values are values.
func flat(t *testing.T, file string) map[string]string {
	t.Helper()
	settings := map[string]string{}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, below := range value {
				walk(strings.TrimPrefix(prefix+"."+name, "."), below)
			}
		case []any:
			if _, ok := value[0].(map[string]any); ok {
				for _, below := range value {
					walk(prefix, below)
				}
				return
			}
			settings[prefix] = fmt.Sprint(value)
		default:
			settings[prefix] = fmt.Sprint(value)
		}
	}
	walk("", parseYAML(t, file))
	return settings
}
