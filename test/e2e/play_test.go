package e2e_test

// act is something that happens to the system during traffic. It calls ready when it is prepared, so that the traffic
// continues.
type act func(ready func())

// play runs acts in order, evenly spaced over the traffic: at each, the traffic waits until the acts before it are over and it
// is ready.
type play struct {
	acts  []act
	step  int // commands from act to act
	cues  chan int
	ready []chan struct{} // by act
	over  chan struct{}
}

func newPlay(acts []act, commands int) *play {
	p := &play{
		acts: acts, step: commands / (len(acts) + 1),
		cues: make(chan int, len(acts)), ready: make([]chan struct{}, len(acts)), over: make(chan struct{}),
	}
	for i := range acts {
		p.ready[i] = make(chan struct{})
	}
	return p
}

// cue is called before each command, with its number.
func (p *play) cue(i int) {
	act := i/p.step - 1
	if act < 0 || act >= len(p.acts) {
		return
	}
	if i%p.step == 0 {
		p.cues <- act
	}
	<-p.ready[act]
}

func (p *play) run() {
	defer close(p.over)
	for i := range p.cues {
		p.acts[i](func() { close(p.ready[i]) })
	}
}

// end returns when every act is over; the traffic must have reached all of them.
func (p *play) end() {
	close(p.cues)
	<-p.over
}
