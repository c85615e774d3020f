package api

import (
	"encoding/json"
	"net/http"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
)

// conversion is one of the older endpoints by which operators convert resources.
type conversion struct {
	field string // of the form: a JSON array of resources
	call  func(agent *mesos.AgentID, rs []*mesos.Resource) *master.Call
}

// conversions of the v1 API have the same effect.
// Mesos: src/master/http.cpp, Master::Http::reserve and its sisters.
var conversions = map[string]conversion{
	"/reserve": {"resources", func(agent *mesos.AgentID, rs []*mesos.Resource) *master.Call {
		return &master.Call{Type: master.Call_RESERVE_RESOURCES.Enum(), ReserveResources: &master.Call_ReserveResources{AgentId: agent, Resources: rs}}
	}},
	"/unreserve": {"resources", func(agent *mesos.AgentID, rs []*mesos.Resource) *master.Call {
		return &master.Call{Type: master.Call_UNRESERVE_RESOURCES.Enum(), UnreserveResources: &master.Call_UnreserveResources{AgentId: agent, Resources: rs}}
	}},
	"/create-volumes": {"volumes", func(agent *mesos.AgentID, rs []*mesos.Resource) *master.Call {
		return &master.Call{Type: master.Call_CREATE_VOLUMES.Enum(), CreateVolumes: &master.Call_CreateVolumes{AgentId: agent, Volumes: rs}}
	}},
	"/destroy-volumes": {"volumes", func(agent *mesos.AgentID, rs []*mesos.Resource) *master.Call {
		return &master.Call{Type: master.Call_DESTROY_VOLUMES.Enum(), DestroyVolumes: &master.Call_DestroyVolumes{AgentId: agent, Volumes: rs}}
	}},
}

// convert serves POST slaveId=…&resources=[…], or volumes.
func (m *masterAPI) convert(c conversion) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := readForm(w, r)
		if err != nil {
			return err
		}
		for _, field := range []string{"slaveId", c.field} {
			if !form.Has(field) {
				return refuse(http.StatusBadRequest, "Missing '%s' query parameter in the request body", field)
			}
		}
		var raw []json.RawMessage
		err = json.Unmarshal([]byte(form.Get(c.field)), &raw)
		rs := make([]*mesos.Resource, len(raw))
		for i, text := range raw {
			rs[i] = &mesos.Resource{}
			if err == nil {
				err = mesos.UnmarshalJSON(text, rs[i])
			}
			if err == nil {
				err = mesos.CheckRequired(rs[i])
			}
		}
		if err != nil {
			return refuse(http.StatusBadRequest, "Error in parsing '%s' query parameter in the request body: %v", c.field, err)
		}
		reply, err := m.gateway.Operate(r.Context(), principal(r), c.call(&mesos.AgentID{Value: proto.String(form.Get("slaveId"))}, rs))
		if err != nil {
			return err
		}
		writeReply(w, reply)
		return nil
	}
}
