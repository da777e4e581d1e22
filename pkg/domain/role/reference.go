package role

import (
	"encoding/json"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Reference is what the role is called at the time of an event of another aggregate. It is that event's enrichment.
type Reference struct {
	Name Name `json:"name"`
}

// NewReference returns the enrichment that names the role.
func NewReference(id ID, name Name) eventsourcing.Enrichment {
	data, _ := json.Marshal(Reference{Name: name}) // a string cannot fail
	return eventsourcing.Enrichment{Aggregate: Category, ID: string(id), Data: data}
}

// ReferenceIn finds the role's Reference in an event's enrichment.
func ReferenceIn(enrichment []eventsourcing.Enrichment, id ID) (Reference, bool) {
	for _, e := range enrichment {
		var r Reference
		if e.Aggregate == Category && e.ID == string(id) && json.Unmarshal(e.Data, &r) == nil {
			return r, true
		}
	}
	return Reference{}, false
}
