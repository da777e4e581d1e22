// Package simulation runs the whole pipeline, several replicas of each service, in one process on virtual time: the services'
// own code and the real SDK on the embedded AWS. One seed decides everything: random commands, and the trouble, which is
// faults, kills, pauses, reshards and outages. A monitor observes every call of AWS as it takes effect. After the trouble comes
// calm, in which the read models must settle; then the judgement checks every promise of docs/consistency.md.
package simulation
