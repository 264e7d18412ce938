package apmws

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestParkingEnds: a connection that is to be closed, and cannot be, since a transaction
// never ends, goes on as before after a while.
func TestParkingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		message := frame(true, opText, anyMask, []byte("x"))
		tp := tapOver(t, &scripted{
			read:  func(b []byte) (int, error) { return copy(b, message), nil },
			write: func(b []byte) (int, error) { return len(b), nil },
		})
		c := tp.conn
		_, tx := StartMessage(context.WithValue(t.Context(), connKey{}, c), MessageInfo{})
		if err := c.CloseAt(time.Now(), 4401, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		begin := time.Now()
		for range 1000 {
			if _, err := tp.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("1,000 messages took %s", took)
		}
		tx.End(nil)
		_ = tp.Close()
	})
}
