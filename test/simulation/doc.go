// Package simulation runs the whole pipeline, several replicas of each service, in one process on virtual time: real
// service code through the real SDK on an AWS in memory, driven by random commands, faults, kills, pauses, reshards and
// outages, all decided by one seed, and then holds the consistency contract against what is in the log.
package simulation
