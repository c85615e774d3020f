// Package oversubscription replays what tasks really used, and what each
// estimator would have predicted of it: how much it frees and how often it errs.
package oversubscription
