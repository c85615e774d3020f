// Package telemetry measures what containers really use. A Source reads the
// kernel's counters by container; a Monitor keeps a short window of samples and
// turns them into usage. It decides nothing and owns no container.
package telemetry
