import { expect } from 'chai'
import { appendUntilKnown } from '../../../../src/application/eventLog/append.ts'
import { patienceOfChange } from '../../../../src/application/eventLog/patience.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../../../../src/application/ports/errors.ts'
import { makeEvent, rejection } from '../../../contract/fixtures.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'
import { stopwatch } from '../../../support/suite/stopwatch.ts'

describe('an append whose outcome must become known', () => {
  /** Each attempt gets the next of `answers`. After the last, attempts succeed. */
  async function append(...answers: Error[]): Promise<{ outcome: unknown; sent: unknown[] }> {
    const sent: unknown[] = []
    const store = {
      async append(...args: unknown[]) {
        sent.push(args)
        const answer = answers.shift()
        if (answer) throw answer
        return { revision: 0, position: 'p' }
      },
    } as unknown as EventStore
    const work = appendUntilKnown({ store, telemetry: countingTelemetry() }, 's', 'no_stream', [makeEvent()])
    return { outcome: await work.catch((error: unknown) => error), sent }
  }

  const unknown = new UnknownOutcomeError('no answer')
  const down = new StoreUnavailableError('down')

  it('is sent again as it was', async () => {
    const { outcome, sent } = await append(unknown, unknown)
    expect(outcome).to.deep.equal({ revision: 0, position: 'p' })
    expect(sent).to.have.length(3)
    expect(sent[1]).to.deep.equal(sent[0])
    expect(sent[2]).to.deep.equal(sent[0])
  })

  it('is not sent again when nothing was written', async () => {
    const { outcome, sent } = await append(down)
    expect(outcome).to.equal(down)
    expect(sent).to.have.length(1)
  })

  it('stays unknown when the store cannot be reached any more', async () => {
    const { outcome } = await append(unknown, down)
    expect(outcome).to.equal(unknown)
  })

  it('is given up in time when no attempt is ever answered', async () => {
    const store = {
      append: () => new Promise((_, reject) => setTimeout(() => reject(unknown), 1000)),
    } as unknown as EventStore
    const took = stopwatch()
    const work = appendUntilKnown(
      { store, telemetry: countingTelemetry(), patience: patienceOfChange(4_000) },
      's',
      'no_stream',
      [makeEvent()],
    )
    expect(await rejection(work)).to.equal(unknown)
    expect(took()).to.be.below(4500)
  })
})
