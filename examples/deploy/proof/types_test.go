package proof

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func in(name string, err error) error { return fmt.Errorf("%s: %w", name, err) }

// adapterValues is the part of the values of prometheus-adapter's Helm chart that is
// used, with what its documentation says of rules:
// https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/docs/config.md
type adapterValues struct {
	Prometheus struct {
		URL  string `json:"url"`
		Port int    `json:"port"`
	} `json:"prometheus"`
	Rules struct {
		Default bool          `json:"default"`
		Custom  []adapterRule `json:"custom"`
	} `json:"rules"`
}

type adapterRule struct {
	SeriesQuery string `json:"seriesQuery"`
	Resources   struct {
		Overrides map[string]struct {
			Group    string `json:"group"`
			Resource string `json:"resource"`
		} `json:"overrides"`
	} `json:"resources"`
	Name struct {
		Matches string `json:"matches"`
		As      string `json:"as"`
	} `json:"name"`
	MetricsQuery string `json:"metricsQuery"`
}

// podMonitor and scaledObject are what the tests read of those; that they follow their
// whole schemas is TestCustomResources.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		PollingInterval int32 `json:"pollingInterval"`
		Fallback        struct {
			FailureThreshold int32  `json:"failureThreshold"`
			Replicas         int32  `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type       string                         `json:"type"`
			MetricType autoscalingv2.MetricTargetType `json:"metricType"`
			// Of the prometheus scaler: https://keda.sh/docs/latest/scalers/prometheus/
			Metadata struct {
				ServerAddress    string `json:"serverAddress"`
				Query            string `json:"query"`
				Threshold        string `json:"threshold"`
				IgnoreNullValues string `json:"ignoreNullValues"`
			} `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// scrapeConfig is the part of Prometheus' configuration that is used:
// https://prometheus.io/docs/prometheus/latest/configuration/configuration/
type scrapeConfig struct {
	Global struct {
		ScrapeInterval string `json:"scrape_interval"`
		ScrapeTimeout  string `json:"scrape_timeout"`
	} `json:"global"`
	ScrapeConfigs []struct {
		JobName       string `json:"job_name"`
		SampleLimit   int    `json:"sample_limit"`
		FileSDConfigs []struct {
			Files []string `json:"files"`
		} `json:"file_sd_configs"`
		MetricRelabelConfigs []struct {
			SourceLabels []string `json:"source_labels"`
			Regex        string   `json:"regex"`
			Action       string   `json:"action"`
		} `json:"metric_relabel_configs"`
	} `json:"scrape_configs"`
}

// agentConfig is the part of the CloudWatch agent's configuration that is used:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContainerInsights-Prometheus-Setup-configure-ECS.html
type agentConfig struct {
	Logs struct {
		MetricsCollected struct {
			Prometheus struct {
				PrometheusConfigPath string `json:"prometheus_config_path"`
				ECSServiceDiscovery  struct {
					Frequency          string `json:"sd_frequency"`
					ResultFile         string `json:"sd_result_file"`
					TaskDefinitionList []struct {
						JobName    string `json:"sd_job_name"`
						Ports      string `json:"sd_metrics_ports"`
						Path       string `json:"sd_metrics_path"`
						ARNPattern string `json:"sd_task_definition_arn_pattern"`
					} `json:"task_definition_list"`
				} `json:"ecs_service_discovery"`
				EMFProcessor struct {
					Namespace    string              `json:"metric_namespace"`
					Declarations []metricDeclaration `json:"metric_declaration"`
				} `json:"emf_processor"`
			} `json:"prometheus"`
		} `json:"metrics_collected"`
		ForceFlushInterval int `json:"force_flush_interval"`
	} `json:"logs"`
}

type metricDeclaration struct {
	SourceLabels []string   `json:"source_labels"`
	LabelMatcher string     `json:"label_matcher"`
	Dimensions   [][]string `json:"dimensions"`
	Selectors    []string   `json:"metric_selectors"`
}

// trackingPolicy is the argument of PutScalingPolicy, as AWS' own SDK has it.
type trackingPolicy = types.TargetTrackingScalingPolicyConfiguration
