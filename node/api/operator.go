package api

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/link"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/view"
	"muster/telemetry/metrics"
)

// Views gives the cluster as its leader knows it; what it returns is not modified.
type Views interface {
	Snapshot(ctx context.Context) (*view.View, error)
	Watch(ctx context.Context) (w *link.Watch, done func(), err error)
}

// readWait is how long a read waits for a view of the cluster.
const readWait = 5 * time.Second

// operatorAPI serves POST /api/v1 of the master.
type operatorAPI struct {
	gateway   *Gateway
	views     Views
	files     *Files
	metrics   *metrics.Set
	flags     map[string]string
	version   *mesos.VersionInfo
	principal func(*http.Request) string
}

func (a *operatorAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.serve(w, r); err != nil {
		writeError(w, err)
	}
}

func (a *operatorAPI) serve(w http.ResponseWriter, r *http.Request) error {
	var call master.Call
	if err := readCall(w, r, "Call", &call); err != nil {
		return err
	}
	out, err := responseCodec(r)
	if err != nil {
		return err
	}
	if call.Type == nil {
		return refuse(http.StatusBadRequest, "Failed to validate master::Call: Expecting 'type' to be present")
	}
	if call.GetType() == master.Call_SUBSCRIBE {
		return a.subscribe(w, r, out)
	}
	if response, err := a.local(&call); response != nil || err != nil {
		return answer(w, out, response, err)
	}
	if build := reads[call.GetType()]; build != nil {
		ctx, cancel := context.WithTimeoutCause(r.Context(), readWait, ErrNoLeader)
		defer cancel()
		v, err := a.views.Snapshot(ctx)
		if err != nil {
			return err
		}
		response := build(v)
		response.Type = responseType(call.GetType())
		return writeMessage(w, out, response)
	}
	reply, err := a.gateway.Operate(r.Context(), a.principal(r), &call)
	if err != nil {
		return err
	}
	if reply.Operator != nil {
		return writeMessage(w, out, reply.Operator)
	}
	writeReply(w, reply)
	return nil
}

func answer(w http.ResponseWriter, out codec, response *master.Response, err error) error {
	if err != nil {
		return err
	}
	return writeMessage(w, out, response)
}

// responseType names the response to a call: they share their names.
func responseType(t master.Call_Type) *master.Response_Type {
	return master.Response_Type(master.Response_Type_value[t.String()]).Enum()
}

// reads are the calls that a view answers.
var reads = map[master.Call_Type]func(*view.View) *master.Response{
	master.Call_GET_STATE: func(v *view.View) *master.Response {
		return &master.Response{GetState: v.GetState()}
	},
	master.Call_GET_AGENTS: func(v *view.View) *master.Response {
		return &master.Response{GetAgents: v.GetAgents()}
	},
	master.Call_GET_FRAMEWORKS: func(v *view.View) *master.Response {
		return &master.Response{GetFrameworks: v.GetFrameworks()}
	},
	master.Call_GET_EXECUTORS: func(v *view.View) *master.Response {
		return &master.Response{GetExecutors: v.GetExecutors()}
	},
	master.Call_GET_TASKS: func(v *view.View) *master.Response {
		return &master.Response{GetTasks: v.GetTasks()}
	},
	master.Call_GET_ROLES: func(v *view.View) *master.Response {
		return &master.Response{GetRoles: v.GetRoles()}
	},
	master.Call_GET_MASTER: func(v *view.View) *master.Response {
		return &master.Response{GetMaster: v.GetMaster()}
	},
}

// local answers what this node knows by itself.
func (a *operatorAPI) local(call *master.Call) (*master.Response, error) {
	response := &master.Response{Type: responseType(call.GetType())}
	switch call.GetType() {
	case master.Call_GET_HEALTH:
		response.GetHealth = &master.Response_GetHealth{Healthy: proto.Bool(true)}
	case master.Call_GET_VERSION:
		response.GetVersion = &master.Response_GetVersion{VersionInfo: a.version}
	case master.Call_GET_FLAGS:
		response.GetFlags = &master.Response_GetFlags{Flags: flagList(a.flags)}
	case master.Call_GET_METRICS:
		response.GetMetrics = &master.Response_GetMetrics{Metrics: metricList(a.metrics)}
	case master.Call_LIST_FILES:
		infos, err := a.files.List(call.GetListFiles().GetPath())
		if err != nil {
			return nil, err
		}
		response.ListFiles = &master.Response_ListFiles{FileInfos: infos}
	case master.Call_READ_FILE:
		rf := call.GetReadFile()
		size, data, err := a.files.Read(rf.GetPath(), rf.GetOffset(), rf.Length)
		if err != nil {
			return nil, err
		}
		response.ReadFile = &master.Response_ReadFile{Size: &size, Data: data}
	default:
		return nil, nil
	}
	return response, nil
}

func flagList(flags map[string]string) []*mesos.Flag {
	var list []*mesos.Flag
	for _, name := range sortedKeys(flags) {
		list = append(list, &mesos.Flag{Name: proto.String(name), Value: proto.String(flags[name])})
	}
	return list
}

func metricList(set *metrics.Set) []*mesos.Metric {
	values := set.Snapshot()
	var list []*mesos.Metric
	for _, name := range sortedKeys(values) {
		list = append(list, &mesos.Metric{Name: proto.String(name), Value: proto.Float64(values[name])})
	}
	return list
}
