import { expect } from 'chai'
import { projections } from '../../../../projections/index.ts'
import { refusalOf } from '../../../../projections/refusedEvents.ts'
import { tokenHistory } from '../../../../projections/tokenHistory.ts'
import { tokens } from '../../../../projections/tokens.ts'
import { createChanges } from '../../../../src/application/projection/changes.ts'
import { createInspector } from '../../../../src/application/eventLog/chainInspector.ts'
import { inspectAll } from '../../../../src/application/eventLog/logReader.ts'
import { placeOf, lowestCheckpoint } from '../../../../src/application/readModel/checkpoints.ts'
import type { Checkpoints } from '../../../../src/application/ports/checkpoints.ts'
import { storedChain } from '../../../../src/domain/chain.ts'
import { isOfToken, tokenIdOf } from '../../../../src/domain/streams.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { historyOn } from '../../../support/events/history.ts'
import { appendTo } from '../../../support/events/longLife.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'

describe('what events change', () => {
  let log: StoredEvent[]
  let store: ReturnType<typeof memoryStore>['store']

  beforeEach(async () => {
    const memory = memoryStore()
    ;({ store, log } = memory)
    await (await historyOn(store)).grow(20)
  })

  const damagesOf = (events: StoredEvent[]) => inspectAll(createInspector(store), events)

  const collectionsOf = async (of: typeof projections, checkpoints?: Checkpoints) => {
    const { changes } = createChanges(of, countingTelemetry())(log, await damagesOf(log), checkpoints)
    return changes.map(({ collection }) => collection)
  }

  it('is not given again to a projection that has seen it, and to the others it is', async () => {
    const all = await collectionsOf(projections)
    const fresh: Checkpoints = new Map(projections.map((one) => [one, null]))
    const behind = (event: StoredEvent | undefined) => ({ ...placeOf(event as StoredEvent), kept: null })
    const seen = new Map(fresh).set(tokens, behind(log.at(-1))).set(tokenHistory, behind(log[9]))
    const rest = await collectionsOf(projections, seen)
    const count = (some: string[], name: string) => some.filter((one) => one === name).length
    expect(count(rest, 'tokens')).to.equal(0)
    expect(count(rest, 'tokenHistory')).to.be.within(1, count(all, 'tokenHistory') - 1)
    expect(count(rest, 'tokenUsage')).to.equal(count(all, 'tokenUsage'))
    expect(lowestCheckpoint(seen)).to.equal(null)
  })

  it('passes over an event that only informs, and stops at one of another unknown type', async () => {
    const tokenId = tokenIdOf(log.find(isOfToken)?.stream ?? '')
    await appendTo(store, tokenId, 'TokenRemarked', { data: { days: 7 }, informational: true })
    await appendTo(store, tokenId, 'TokenSplit')
    const damaged: string[] = []
    const telemetry = { ...countingTelemetry(), damaged: (kind: string) => void damaged.push(kind) }
    const [informs, unknown] = log.slice(-2) as [StoredEvent, StoredEvent]
    const changesOf = (of: typeof projections) =>
      createChanges(of, telemetry)([informs, unknown], [null, null])
    const change = { kind: 'put', collection: 'tokens', id: tokenId }
    const { changes, changed } = changesOf(projections)
    expect(changes).to.deep.equal([
      {
        ...change,
        revision: informs.revision,
        fields: { revision: informs.revision, chain: storedChain(informs) },
      },
      { ...change, revision: unknown.revision, fields: { stopped: 'unknown type TokenSplit' } },
      refusalOf(unknown, 'unknown type TokenSplit', 0),
    ])
    expect([...changed]).to.deep.equal([tokenId])
    expect(damaged).to.deep.equal(['skipped', 'type'])
    expect(telemetry.errors).to.deep.equal(['event refused'])
    expect(changesOf([tokenHistory]).changes).to.deep.equal([])
  })

  it('is nothing where an unknown event stands in no stream of a token, and it is counted', () => {
    const damaged: string[] = []
    const telemetry = { ...countingTelemetry(), damaged: (kind: string) => void damaged.push(kind) }
    const event = { ...(log[0] as StoredEvent), type: 'Later', stream: 'tokenUsage-x_20260301' }
    expect(createChanges(projections, telemetry)([event], [null]).changes).to.deep.equal([])
    expect(damaged).to.deep.equal(['skipped'])
    expect(telemetry.errors).to.deep.equal([])
  })

  it('closes the token of a damaged event, where tokens are among what is filled', async () => {
    const damaged = log.find(({ stream, revision }) => stream.startsWith('apiToken-') && revision > 0)
    if (!damaged) throw new Error('no second event')
    Object.assign(damaged, { data: { name: 'Mallory' } })
    const stopped = async (of: typeof projections) => {
      const { changes } = createChanges(of, countingTelemetry())(log, await damagesOf(log))
      return changes.filter((change) => change.kind === 'put' && 'stopped' in change.fields).length
    }
    expect(await stopped([tokenHistory])).to.equal(0)
    expect(await stopped(projections)).to.equal(1)
  })
})
