package expr

import "github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"

// Projection is a parsed projection expression; a nil one keeps whole items. It is safe for concurrent use.
type Projection struct {
	paths *pathTree[struct{}]
}

// ParseProjection parses a comma-separated list of document paths. All its errors are ValidationExceptions.
func ParseProjection(src string, placeholders *Placeholders) (*Projection, error) {
	p, err := newParser(projectionExpression, src)
	if err != nil {
		return nil, err
	}
	var nodes []*pathNode
	for {
		n, err := p.path()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		if !p.accept(",") {
			break
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	paths := make([]path, len(nodes))
	for i, n := range nodes {
		if err := placeholders.resolvePath(projectionExpression, n); err != nil {
			return nil, err
		}
		paths[i] = n.path
	}
	tree, err := newPathTree(projectionExpression, paths, func(int) struct{} { return struct{}{} })
	if err != nil {
		return nil, err
	}
	return &Projection{paths: tree}, nil
}

// Apply returns the values of the item at the projection's paths.
func (p *Projection) Apply(item attr.Item) attr.Item {
	if p == nil || item == nil {
		return item
	}
	return p.paths.project(item)
}

// TopLevel returns the names of the top-level attributes in the projection, sorted.
func (p *Projection) TopLevel() []string {
	if p == nil {
		return nil
	}
	return p.paths.topLevel()
}
