package offers

import "muster/offers/mesos"

// answer is short for what is said in Mesos's words.
type answer = mesos.Error

func answerf(format string, args ...any) error { return mesos.Errorf(format, args...) }
