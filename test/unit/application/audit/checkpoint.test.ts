import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { expect } from 'chai'
import {
  BadCheckpointError,
  type Checkpoint,
  digestOf,
  type CheckpointFindings,
  assessDifferences,
  readCheckpoint,
  signCheckpoint,
} from '../../../../src/application/audit/checkpoint.ts'
import { importEvents } from '../../../../src/application/transfer/importEvents.ts'
import { createLogDigester } from '../../../../src/application/audit/logDigest.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { walkLog } from '../../../../src/application/audit/verifyLog.ts'
import { canonical } from '../../../../src/domain/chain.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import {
  created,
  relink,
  renamed,
  time,
  USAGE,
  used,
  walkOf,
  writerTo,
} from '../../../support/events/audited.ts'
import { type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'
import { chunked, fileOf } from '../../../support/events/transfer.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const DAY = time(0).slice(0, 10)

async function checkpointOf(store: EventStore): Promise<Checkpoint> {
  const digester = createLogDigester()
  await walkLog(store, { onEvent: digester.add, onDamage() {} })
  return signCheckpoint(digester.result(), time(0), privateKey)
}

async function held(
  store: EventStore,
  to: Checkpoint,
  expiresBefore: string | null = null,
): Promise<CheckpointFindings> {
  const digester = createLogDigester(digestOf(to))
  await walkLog(store, { onEvent: digester.add, onDamage() {} })
  return assessDifferences(digester.differences(), expiresBefore)
}

describe('A checkpoint', () => {
  const ids = Array.from({ length: 4 }, () => randomUUID())
  const streams = ids.map(tokenStream)
  const [FIRST = '', SECOND = ''] = streams
  let memory: MemoryStore
  let write: ReturnType<typeof writerTo>
  let checkpoint: Checkpoint

  beforeEach(async () => {
    memory = memoryStore()
    write = writerTo(memory.store)
    for (const id of ids) {
      await write(tokenStream(id), [created(id), renamed('b')])
      await write(USAGE, [used(id)])
    }
    await write(FIRST, [renamed('c'), renamed('d')])
    checkpoint = await checkpointOf(memory.store)
  })

  const of = (stream: string): StoredEvent[] => memory.log.filter((event) => event.stream === stream)
  const remove = (events: readonly StoredEvent[]): void => {
    for (const event of events) memory.log.splice(memory.log.indexOf(event), 1)
  }

  it('is small, however many events there are, and the same for the same log', async () => {
    expect(checkpoint).to.include({ checkpoint: 1, events: 14 })
    expect(checkpoint.kept.events).to.equal(10)
    expect(checkpoint.usage_days[DAY]?.events).to.equal(4)
    expect(JSON.stringify(checkpoint).length).to.be.below(700)
    expect(await checkpointOf(memory.store)).to.deep.equal(checkpoint)
  })

  it('holds for the log that it was made of, and for that log grown', async () => {
    expect(await held(memory.store, checkpoint)).to.deep.equal({ found: [], expired: [] })
    memory.addForeign({ data: {}, metadata: {} })
    await write(SECOND, [renamed('later')])
    await write(USAGE, [used(ids[0] ?? '')])
    expect((await held(memory.store, checkpoint)).found).to.deep.equal([])
  })

  it('holds in a store that the log was moved to: positions are other ones there', async () => {
    const other = memoryStore()
    other.addForeign()
    await importEvents(other.store, chunked(await fileOf(memory.store)))
    expect(other.log.at(-1)?.position).not.to.equal(memory.log.at(-1)?.position)
    expect((await held(other.store, checkpoint)).found).to.deep.equal([])
  })

  it('holds for an empty log, whatever came later', async () => {
    const empty = await checkpointOf(memoryStore().store)
    expect((await held(memory.store, empty)).found).to.deep.equal([])
  })

  /** None of these forgeries breaks a link. */
  const forgeries: Record<string, [forge: () => Promise<void> | void, found: RegExp]> = {
    'the end of the log was cut off': [
      () => void memory.log.splice(-3),
      /of the events of tokens, 2 of 10 are gone/,
    ],
    'everything was removed': [() => void memory.log.splice(0), /10 of 10 are gone/],
    'the end of one stream was cut off': [() => remove(of(FIRST).slice(-1)), /1 of 10 are gone/],
    'a whole stream was removed': [() => remove(of(SECOND)), /2 of 10 are gone/],
    'a usage stream was removed': [() => remove(of(USAGE)), new RegExp(`usage of ${DAY}, 4 of 4 are gone`)],
    'the end of a usage stream was cut off': [() => remove(of(USAGE).slice(-1)), /1 of 4 are gone/],
    'a stream was rewritten from the middle with new links': [
      () => {
        Object.assign(of(FIRST)[2] as StoredEvent, { data: { name: 'forged' } })
        relink(memory.log, FIRST)
      },
      /of the events of tokens, the first 10 are not those that there were/,
    ],
    'the last event of a usage stream was rewritten': [
      () => {
        const last = of(USAGE).at(-1) as StoredEvent
        last.data = { ...(last.data as object), count: 9 }
        relink(memory.log, USAGE)
      },
      /of the usage of .*, the first 4 are not those/,
    ],
    'a stream was removed, and as many events put behind the log': [
      async () => {
        remove(of(SECOND))
        const other = randomUUID()
        await write(tokenStream(other), [created(other), renamed('x')])
      },
      /the first 10 are not those that there were/,
    ],
    'a stream was put in before the end': [
      () => {
        const [event] = of(SECOND)
        const stream = tokenStream(randomUUID())
        const position = `${memory.log[3]?.position}a`
        memory.log.splice(4, 0, { ...structuredClone(event as StoredEvent), stream, position })
        relink(memory.log, stream)
      },
      /the first 10 are not those that there were/,
    ],
    'two events of different streams changed places': [
      () => {
        const places = [memory.log[2], memory.log[3]] as [StoredEvent, StoredEvent]
        const [usage, token] = structuredClone(places)
        memory.log[2] = { ...token, position: usage.position }
        memory.log[3] = { ...usage, position: token.position }
      },
      /inserted among those that the checkpoint binds, or stand in another order/,
    ],
  }
  for (const [what, [forge, expected]] of Object.entries(forgeries)) {
    it(`finds that ${what}, which no link tells`, async () => {
      await forge()
      expect((await walkOf(memory.store)).found, 'the links').to.deep.equal([])
      expect((await held(memory.store, checkpoint)).found.join()).to.match(expected)
    })
  }

  describe('after retention', () => {
    const tomorrow = '2026-11-02'

    beforeEach(() => remove(of(USAGE).slice(0, 2)))

    it('cannot be held to the usage that is gone, says so, and is held to all else', async () => {
      expect(await held(memory.store, checkpoint, tomorrow)).to.deep.equal({ found: [], expired: [DAY] })
      remove(of(SECOND))
      const { found } = await held(memory.store, checkpoint, tomorrow)
      expect(found.join()).to.match(/^of the events of tokens, 2 of 10 are gone/)
    })

    it('is no excuse for a day that retention has not come to, or where there is none', async () => {
      for (const expiresBefore of [null, DAY]) {
        const { found, expired } = await held(memory.store, checkpoint, expiresBefore)
        expect([found.length, expired.length]).to.deep.equal([1, 0])
      }
    })
  })

  describe('as a file', () => {
    const text = (of_: object): string => JSON.stringify(of_, null, 2)

    it('is read back, whatever the order of its members', () => {
      expect(readCheckpoint(text(checkpoint), publicKey)).to.deep.equal(checkpoint)
      const reversed = Object.fromEntries(Object.entries(checkpoint).toReversed())
      expect(readCheckpoint(text(reversed), publicKey)).to.deep.equal(checkpoint)
    })

    it('is refused when anything in it was altered', () => {
      const alterations: object[] = [
        { events: 13 },
        { digest: '0'.repeat(64) },
        { at: time(1) },
        { checkpoint: 2 },
        { kept: { ...checkpoint.kept, events: 9 } },
        { usage_days: {} },
        { note: 'more' },
        { signature: '' },
        { signature: undefined },
        { signature: 7 },
        { signature: Buffer.alloc(64).toString('base64') },
      ]
      for (const altered of alterations) {
        expect(() => readCheckpoint(text({ ...checkpoint, ...altered }), publicKey), text(altered))
          .to.throw(BadCheckpointError)
          .with.property('message')
          .that.contains('altered')
      }
    })

    it('is refused when another key has signed it', () => {
      const forged = generateKeyPairSync('ed25519')
      const other = signCheckpoint(digestOf(checkpoint), time(0), forged.privateKey)
      expect(() => readCheckpoint(text(other), publicKey)).to.throw(BadCheckpointError, 'another key')
      const renamed_ = { ...other, key: checkpoint.key }
      expect(() => readCheckpoint(text(renamed_), publicKey)).to.throw(BadCheckpointError, 'altered')
    })

    it('is refused when it is of a later form', () => {
      const { signature: _, ...unsigned } = { ...checkpoint, checkpoint: 2 }
      const signature = sign(null, Buffer.from(canonical(unsigned)), privateKey).toString('base64')
      expect(() => readCheckpoint(text({ ...unsigned, signature }), publicKey)).to.throw(
        BadCheckpointError,
        'does not know',
      )
    })

    it('is refused when it is something else', () => {
      for (const other of ['', '{', '[]', 'null', '"checkpoint"', '{}', '7'])
        expect(() => readCheckpoint(other, publicKey)).to.throw(BadCheckpointError, 'no checkpoint')
    })
  })
})
