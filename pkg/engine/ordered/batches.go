package ordered

import "iter"

// InBatches hands what entries yields to put, in order and at most size at a time, until the end or the first error of
// either. put must not keep the batch.
func InBatches[E any](entries iter.Seq2[E, error], size int, put func(batch []E) error) error {
	batch := make([]E, 0, size)
	for e, err := range entries {
		if err != nil {
			return err
		}
		if batch = append(batch, e); len(batch) < size {
			continue
		}
		if err := put(batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if len(batch) == 0 {
		return nil
	}
	return put(batch)
}
