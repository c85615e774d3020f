package offers

import (
	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
)

// maxRequests bounds what a framework may ask for at a time.
const maxRequests = 100

// validateRequests checks what a framework asks for. Mesos takes anything, and
// does nothing.
func validateRequests(call *scheduler.Call_Request) error {
	_, err := requestsOf(call.GetRequests())
	return err
}

// requestsOf returns requests as the allocator knows them.
func requestsOf(list []*mesos.Request) ([]allocator.Request, error) {
	if err := tooMany("request.requests", len(list), maxRequests); err != nil {
		return nil, err
	}
	out := make([]allocator.Request, len(list))
	for i, r := range list {
		set, err := resource.FromProto(r.GetResources())
		if err != nil {
			return nil, answerf("'request.requests[%d].resources': %v", i, err)
		}
		if set.Empty() && r.GetAgentId().GetValue() == "" {
			return nil, answerf("'request.requests[%d]': Expecting 'agent_id' or 'resources' to be present", i)
		}
		out[i] = allocator.Request{Agent: r.GetAgentId().GetValue(), Resources: set}
	}
	return out, nil
}

// demand replaces what a framework asked for by requests that are valid.
func (m *Master) demand(f *framework, list []*mesos.Request) {
	requests, err := requestsOf(list)
	if err != nil {
		return // a gateway announces what an earlier leader took and this one does not
	}
	f.requests = list
	m.allocator.Request(m.now, f.id, requests)
}

// demandAgain holds what a framework asked for against roles that it has come to, or
// wants offers of again, since.
func (m *Master) demandAgain(f *framework) {
	if len(f.requests) > 0 {
		m.demand(f, f.requests)
	}
}
