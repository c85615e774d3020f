package offers

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/registry"
	"muster/offers/resource"
	"muster/offers/view"
)

// maxQuotaCalls bounds the changes of quotas that wait for one under way.
const maxQuotaCalls = 64

// quotaCall carries out a call that changes quotas. One is looked at when those
// before it are in the registry, for it is judged by what they left.
func (m *Master) quotaCall(l Link, id uint64, call *master.Call) {
	if len(m.quotaCalls) >= maxQuotaCalls {
		m.reply(l, id, statusUnavailable, "Too many changes of quotas wait: try again")
		return
	}
	m.quotaCalls = append(m.quotaCalls, func() {
		switch call.GetType() {
		case master.Call_SET_QUOTA:
			m.setQuota(l, id, call.GetSetQuota().GetQuotaRequest())
		case master.Call_REMOVE_QUOTA:
			m.removeQuota(l, id, call.GetRemoveQuota().GetRole())
		default:
			m.updateQuota(l, id, call.GetUpdateQuota())
		}
	})
	m.nextQuotaCalls()
}

// nextQuotaCalls carries out what waits until one is on its way into the registry.
func (m *Master) nextQuotaCalls() {
	for len(m.quotaCalls) > 0 && !m.quotaUnderWay {
		next := m.quotaCalls[0]
		m.quotaCalls = m.quotaCalls[1:]
		next()
	}
}

// updateQuota replaces the quotas of some roles, of all or none of them.
// Mesos: src/master/quota_handler.cpp, QuotaHandler::update.
func (m *Master) updateQuota(l Link, id uint64, call *master.Call_UpdateQuota) {
	err := m.validateQuotas(call.GetQuotaConfigs())
	if err == nil && !call.GetForce() {
		err = m.checkConsumption(call.GetQuotaConfigs())
	}
	if err == nil && !call.GetForce() {
		if err = m.checkCapacity(call.GetQuotaConfigs()); err != nil {
			err = answerf("%v (use 'force' flag to bypass this check)", err)
		}
	}
	if err != nil {
		m.reply(l, id, statusBadRequest, "Invalid QuotaConfig: "+err.Error())
		return
	}
	m.proposeQuota(l, id, call.GetQuotaConfigs())
}

// setQuota gives a role that has no quota a guarantee that is its limit, too.
// Mesos: src/master/quota_handler.cpp, QuotaHandler::set.
func (m *Master) setQuota(l Link, id uint64, req *quota.QuotaRequest) {
	refuse := func(text string) {
		m.reply(l, id, statusBadRequest, "Failed to validate set quota request: "+text)
	}
	config, err := quotaOfRequest(req)
	if err != nil {
		refuse(err.Error())
		return
	}
	role := config.GetRole()
	switch err := m.validateQuotas([]*quota.QuotaConfig{config}); {
	case err != nil:
		refuse(err.Error())
		return
	case m.facts.Quota(role) != nil:
		refuse("Cannot set quota for role '" + role + "' which already has quota")
		return
	case strings.Contains(role, "/"):
		m.reply(l, id, statusBadRequest, "Setting quota on nested role '"+role+"' is not supported by SET_QUOTA: use UPDATE_QUOTA")
		return
	}
	if err := m.checkCapacity([]*quota.QuotaConfig{config}); err != nil && !req.GetForce() {
		m.reply(l, id, statusConflict, "Quota guarantees overcommit the cluster (use 'force' to bypass this check): "+err.Error())
		return
	}
	m.proposeQuota(l, id, []*quota.QuotaConfig{config})
}

// quotaOfRequest reads the older form of a quota.
// Mesos: src/master/quota.cpp, validation::quotaInfo.
func quotaOfRequest(req *quota.QuotaRequest) (*quota.QuotaConfig, error) {
	if req.GetRole() == "" {
		return nil, answer("QuotaInfo must specify a role")
	}
	if len(req.GetGuarantee()) == 0 {
		return nil, answer("QuotaInfo with empty 'guarantee'")
	}
	amounts := map[string]*mesos.Value_Scalar{}
	for _, r := range req.GetGuarantee() {
		switch {
		case len(r.GetReservations()) > 0 || r.Reservation != nil || r.GetRole() != "" && r.GetRole() != "*":
			return nil, answer("QuotaInfo must not contain any ReservationInfo")
		case r.Disk != nil:
			return nil, answer("QuotaInfo must not contain DiskInfo")
		case r.Revocable != nil:
			return nil, answer("QuotaInfo must not contain RevocableInfo")
		case r.GetType() != mesos.Value_SCALAR || r.Scalar == nil:
			return nil, answer("QuotaInfo must not include non-scalar resources")
		case amounts[r.GetName()] != nil:
			return nil, answerf("QuotaInfo contains duplicate resource name '%s'", r.GetName())
		}
		amounts[r.GetName()] = r.GetScalar()
	}
	return &quota.QuotaConfig{Role: req.Role, Guarantees: amounts, Limits: amounts}, nil
}

// removeQuota takes a role's quota away.
// Mesos: src/master/quota_handler.cpp, QuotaHandler::remove.
func (m *Master) removeQuota(l Link, id uint64, role string) {
	if m.facts.Quota(role) == nil {
		m.reply(l, id, statusBadRequest, "Failed to remove quota: Role '"+role+"' has no quota set")
		return
	}
	none := []*quota.QuotaConfig{{Role: proto.String(role)}}
	if err := m.validateQuotas(none); err != nil {
		m.reply(l, id, statusBadRequest, "Failed to remove quota: "+err.Error())
		return
	}
	m.proposeQuota(l, id, none)
}

// proposeQuota has the registry take quotas in; then they hold.
func (m *Master) proposeQuota(l Link, id uint64, configs []*quota.QuotaConfig) {
	if len(configs) == 0 {
		m.reply(l, id, statusOK, "")
		return
	}
	m.quotaUnderWay = true
	m.propose(&registry.Op{Op: &registry.Op_UpdateQuota{UpdateQuota: &registry.UpdateQuota{Configs: configs}}}, func(err error) {
		m.quotaUnderWay = false
		if err != nil {
			m.reply(l, id, statusUnavailable, "update quota: "+err.Error())
		} else {
			for _, c := range configs {
				m.applyQuota(c.GetRole())
			}
			m.rescindExcess()
			m.reply(l, id, statusOK, "")
		}
		m.nextQuotaCalls()
	})
}

// applyQuota tells the allocator and the view of a role's quota as the registry has it.
func (m *Master) applyQuota(role string) {
	c := m.facts.Quota(role)
	if c == nil {
		c = &quota.QuotaConfig{Role: proto.String(role)}
	}
	m.allocator.SetQuota(m.now, role, guaranteesOf(c), limitsOf(c))
	m.publish(view.QuotaEvent(c))
}

// rescindExcess takes back, oldest first, the offers that are beyond a limit or
// hold what is missing for a guarantee.
func (m *Master) rescindExcess() {
	for _, o := range byNumber(m.offers) {
		if !m.allocator.Excess(o.role, o.resources).Empty() {
			m.rescind(o, nil)
		}
	}
}

// Amounts that cannot be read count as none: validation lets none in, and an
// older leader's are better half kept than the end of this one.
func guaranteesOf(c *quota.QuotaConfig) resource.Quantities {
	q, err := resource.QuantitiesFromProto(c.GetGuarantees())
	if err != nil {
		return resource.Quantities{}
	}
	return q
}

func limitsOf(c *quota.QuotaConfig) resource.Limits {
	l, err := resource.LimitsFromProto(c.GetLimits())
	if err != nil {
		return resource.Limits{}
	}
	return l
}
