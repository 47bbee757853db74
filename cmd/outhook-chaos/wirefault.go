package main

import (
	"context"
	"errors"
	"time"
)

// both is one toxic in each direction.
func both(name, attribute string, value int64) []toxic {
	attributes := map[string]int64{attribute: value}
	return []toxic{
		{Name: name + "_up", Type: name, Stream: "upstream", Attributes: attributes},
		{Name: name + "_down", Type: name, Stream: "downstream", Attributes: attributes},
	}
}

// onWire acts on one wire.
func (s *saboteur) onWire(f fault, act func(*wire) error) (bool, error) {
	w := s.stack.wires[f.target%len(s.stack.wires)]
	if !w.fault.TryLock() {
		return false, nil
	}
	defer w.fault.Unlock()

	began := time.Now()
	err := act(w)
	s.mark(f.kind, w.name, time.Now())
	s.stack.journal.note(w.name, began, time.Now().Add(regain))
	return true, err
}

func (s *saboteur) poison(ctx context.Context, f fault, toxics ...toxic) (bool, error) {
	return s.onWire(f, func(w *wire) error {
		err := w.poison(toxics...)
		if err == nil {
			wait(ctx, f.length)
		}
		return errors.Join(err, w.heal(context.WithoutCancel(ctx), toxics...))
	})
}

// loseAnswer loses one answer to a process.
func (s *saboteur) loseAnswer(ctx context.Context, f fault) (acted bool, err error) {
	w := s.stack.wires[f.target%len(s.stack.wires)]
	if !w.fault.TryLock() {
		return false, nil
	}
	defer w.fault.Unlock()

	lost := toxic{
		Name: toxicLostAnswer, Type: toxicLostAnswer, Stream: "downstream",
		Attributes: map[string]int64{"of": f.size % int64(len(answers()))},
	}
	if err := w.poison(lost); err != nil {
		return false, err
	}

	if added := w.current().Toxics.GetToxic(lost.Name); added != nil {
		if a, ok := added.Toxic.(*lostAnswer); ok {
			acted = a.await(ctx)
		}
	}
	if acted {
		s.mark(f.kind, w.name, time.Now())
		s.stack.journal.note(w.name, time.Now(), time.Now().Add(regain))
	}
	return acted, w.heal(context.WithoutCancel(ctx), lost)
}
