package offers

import (
	"bytes"
	"strings"

	"muster/offers/mesos"
)

// validateCommand checks a command's environment.
// Mesos: src/common/validation.cpp, validateCommandInfo.
func validateCommand(c *mesos.CommandInfo) error {
	for _, v := range c.GetEnvironment().GetVariables() {
		if err := validateVariable(v); err != nil {
			return err
		}
	}
	return nil
}

func validateVariable(v *mesos.Environment_Variable) error {
	wrong := func(text string) error { return answerf("Environment variable '%s' %s", v.GetName(), text) }
	switch v.GetType() {
	case mesos.Environment_Variable_SECRET:
		switch {
		case v.Secret == nil:
			return wrong("of type 'SECRET' must have a secret set")
		case v.Value != nil:
			return wrong("of type 'SECRET' must not have a value set")
		}
		if err := validateSecret(v.GetSecret()); err != nil {
			return wrong("specifies an invalid secret: " + err.Error())
		}
		if bytes.IndexByte(v.GetSecret().GetValue().GetData(), 0) >= 0 {
			return wrong("specifies a secret containing null bytes, which is not allowed in the environment")
		}
	case mesos.Environment_Variable_VALUE:
		switch {
		case v.Value == nil:
			return wrong("of type 'VALUE' must have a value set")
		case v.Secret != nil:
			return wrong("of type 'VALUE' must not have a secret set")
		}
	default:
		return answer("Environment variable of type 'UNKNOWN' is not allowed")
	}
	return nil
}

func validateSecret(s *mesos.Secret) error {
	switch s.GetType() {
	case mesos.Secret_REFERENCE:
		if s.Reference == nil {
			return answer("Secret of type REFERENCE must have the 'reference' field set")
		}
		if s.Value != nil {
			return answerf("Secret '%s' of type REFERENCE must not have the 'value' field set", s.GetReference().GetName())
		}
	case mesos.Secret_VALUE:
		if s.Value == nil {
			return answer("Secret of type VALUE must have the 'value' field set")
		}
		if s.Reference != nil {
			return answer("Secret of type VALUE must not have the 'reference' field set")
		}
	}
	return nil
}

// validateContainer checks a container's volumes and image.
// Mesos: src/common/validation.cpp, validateContainerInfo.
func validateContainer(c *mesos.ContainerInfo) error {
	for _, v := range c.GetVolumes() {
		if err := validateVolume(v); err != nil {
			return answerf("Invalid volume: %v", err)
		}
	}
	if c != nil && c.GetType() == mesos.ContainerInfo_DOCKER {
		if c.Docker == nil {
			return answer("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo")
		}
		for _, p := range c.GetDocker().GetParameters() {
			if p.GetKey() == "name" {
				return answer("Parameter in DockerInfo must not be 'name'")
			}
		}
	}
	return nil
}

func validateVolume(v *mesos.Volume) error {
	n := 0
	for _, set := range []bool{v.GetHostPath() != "" || v != nil && v.HostPath != nil, v.GetImage() != nil, v.GetSource() != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return answer("Only one of them should be set: 'host_path', 'image' and 'source'")
	}
	s := v.GetSource()
	if s == nil {
		return nil
	}
	missing := func(field, kind string) error { return answerf("'source.%s' is not set for %s volume", field, kind) }
	switch s.GetType() {
	case mesos.Volume_Source_DOCKER_VOLUME:
		if s.DockerVolume == nil {
			return missing("docker_volume", "DOCKER_VOLUME")
		}
	case mesos.Volume_Source_HOST_PATH:
		if s.HostPath == nil {
			return missing("host_path", "HOST_PATH")
		}
	case mesos.Volume_Source_SANDBOX_PATH:
		if s.SandboxPath == nil {
			return missing("sandbox_path", "SANDBOX_PATH")
		}
	case mesos.Volume_Source_SECRET:
		if s.Secret == nil {
			return missing("secret", "SECRET")
		}
	case mesos.Volume_Source_CSI_VOLUME:
		if s.CsiVolume == nil {
			return missing("csi_volume", "CSI")
		}
		if s.CsiVolume.StaticProvisioning == nil {
			return missing("csi_volume.static_provisioning", "CSI")
		}
	default:
		return answer("'source.type' is unknown")
	}
	return nil
}

// timing is what checks and health checks have in common.
type timing interface {
	GetDelaySeconds() float64
	GetIntervalSeconds() float64
	GetTimeoutSeconds() float64
}

func validateTiming(t timing) error {
	for _, s := range []struct {
		name  string
		value float64
	}{{"delay_seconds", t.GetDelaySeconds()}, {"interval_seconds", t.GetIntervalSeconds()}, {"timeout_seconds", t.GetTimeoutSeconds()}} {
		if !(s.value >= 0) {
			return answerf("Expecting '%s' to be non-negative", s.name)
		}
	}
	return nil
}

func validateProbe(c *mesos.CommandInfo, capital string) error {
	if c.Value == nil {
		kind := "'executable path'"
		if c.GetShell() {
			kind = "'shell command'"
		}
		return answerf("Command %s must contain %s", strings.ToLower(capital), kind)
	}
	if err := validateCommand(c); err != nil {
		return answerf("%s's `CommandInfo` is invalid: %v", capital, err)
	}
	return nil
}

// validateHealthCheck accepts no check at all.
func validateHealthCheck(h *mesos.HealthCheck) error {
	if h == nil {
		return nil
	}
	if h.Type == nil {
		return answer("HealthCheck must specify 'type'")
	}
	switch h.GetType() {
	case mesos.HealthCheck_COMMAND:
		if h.Command == nil {
			return answer("Expecting 'command' to be set for COMMAND health check")
		}
		if err := validateProbe(h.Command, "Health check"); err != nil {
			return err
		}
	case mesos.HealthCheck_HTTP:
		switch scheme := h.GetHttp().GetScheme(); {
		case h.Http == nil:
			return answer("Expecting 'http' to be set for HTTP health check")
		case h.Http.Scheme != nil && scheme != "http" && scheme != "https":
			return answerf("Unsupported HTTP health check scheme: '%s'", scheme)
		case h.Http.Path != nil && !strings.HasPrefix(h.Http.GetPath(), "/"):
			return answerf("The path '%s' of HTTP health check must start with '/'", h.Http.GetPath())
		}
	case mesos.HealthCheck_TCP:
		if h.Tcp == nil {
			return answer("Expecting 'tcp' to be set for TCP health check")
		}
	default:
		return answerf("'%s' is not a valid health check type", h.GetType())
	}
	if !(h.GetGracePeriodSeconds() >= 0) {
		return answer("Expecting 'grace_period_seconds' to be non-negative")
	}
	return validateTiming(h)
}

// validateCheck accepts no check at all.
func validateCheck(c *mesos.CheckInfo) error {
	if c == nil {
		return nil
	}
	if c.Type == nil {
		return answer("CheckInfo must specify 'type'")
	}
	switch c.GetType() {
	case mesos.CheckInfo_COMMAND:
		if c.Command == nil || c.Command.Command == nil {
			return answer("Expecting 'command' to be set for COMMAND check")
		}
		if err := validateProbe(c.Command.Command, "Check"); err != nil {
			return err
		}
	case mesos.CheckInfo_HTTP:
		if c.Http == nil {
			return answer("Expecting 'http' to be set for HTTP check")
		}
		if c.Http.Path != nil && !strings.HasPrefix(c.Http.GetPath(), "/") {
			return answerf("The path '%s' of HTTP check must start with '/'", c.Http.GetPath())
		}
	case mesos.CheckInfo_TCP:
		if c.Tcp == nil {
			return answer("Expecting 'tcp' to be set for TCP check")
		}
	default:
		return answerf("'%s' is not a valid check type", c.GetType())
	}
	return validateTiming(c)
}
