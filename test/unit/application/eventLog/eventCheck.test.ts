import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { flawOf } from '../../../../src/application/eventLog/eventCheck.ts'
import { createAlarm } from '../../../../src/application/projection/refusals.ts'
import type { RecordedEvent, StoredEvent } from '../../../../src/domain/events.ts'
import { upcast } from '../../../../src/domain/upcast.ts'
import { usesIn } from '../../../../src/domain/usageEntries.ts'
import { projectRoot } from '../../../support/project/package.ts'

const FOLDER = join(projectRoot, 'test/golden/events')

function golden(file: string): RecordedEvent {
  const stored = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as StoredEvent
  const read = upcast({ ...stored, stream: 's', revision: 0, position: '1' })
  if (read.kind !== 'event') throw new Error(read.kind)
  return read.event
}

const withData = (file: string, data: object): RecordedEvent => {
  const event = golden(file)
  return { ...event, data: { ...event.data, ...data } } as RecordedEvent
}

describe('What an event says', () => {
  it('is fine in every version that was ever written', () => {
    for (const file of readdirSync(FOLDER)) expect(flawOf(golden(file)), file).to.equal(null)
  })

  for (const [file, data] of [
    ['TokenCreated.v1.json', { scopes: 'all' }],
    ['TokenCreated.v1.json', { hash: null }],
    ['TokenCreated.v1.json', { expiresAt: 'never' }],
    ['TokenCreated.v1.json', { more: 1 }],
    ['TokenUpdated.v1.json', { name: 17 }],
    ['TokenUsed.v2.json', { count: '5' }],
    ['TokenUsed.v2.json', { firstAt: '2026-99-01T00:00:00Z' }],
    ['TokenUsed.v2.json', { outcomes: { '2xx': 0.5 } }],
    ['TokensUsed.v1.json', { entries: {} }],
    ['TokensUsed.v1.json', { entries: [] }],
    ['TokensUsed.v1.json', { entries: [null] }],
    ['UsageRolledUp.v1.json', { buckets: {} }],
  ] as const) {
    it(`is refused where no schema allows it: ${file} with ${JSON.stringify(data)}`, () => {
      const flaw = flawOf(withData(file, data))
      expect(flaw).to.match(/^its data are not what a \w+ has: /)
      for (const value of Object.values(data))
        if (typeof value === 'string') expect(flaw).to.not.include(value)
    })
  }

  it('is refused without who did it, or when', () => {
    const event = golden('TokenRevoked.v1.json')
    for (const metadata of [{}, { ...event.metadata, at: 'now' }, { ...event.metadata, actor: null }])
      expect(flawOf({ ...event, metadata } as RecordedEvent)).to.include('metadata')
  })
})

describe('The alarm about an event', () => {
  it('is given once, with the uses that are in no count', () => {
    const told: unknown[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (fields: object) => void told.push(fields) }
    const alarm = createAlarm({ log, damaged: (kind, uses) => void told.push([kind, uses]) })
    const used = golden('TokenUsed.v2.json') as StoredEvent
    const uses = usesIn(used)
    expect(uses).to.be.above(0)
    for (let n = 0; n < 3; n++) alarm(used, { kind: 'store', reason: 'too large', uses })
    expect(told).to.deep.equal([
      ['store', uses],
      { stream: 's', revision: 0, reason: 'too large', usesNotCounted: uses },
    ])
  })

  it('counts no uses in what cannot be read', () => {
    const event = golden('TokenUsed.v2.json') as StoredEvent
    for (const data of [null, {}, { count: '5' }, { count: -5 }]) {
      expect(usesIn({ ...event, data })).to.equal(0)
      expect(usesIn({ type: 'TokensUsed', data: { entries: [data] } })).to.equal(0)
    }
    for (const data of [null, [], { entries: null }, { entries: { count: 5 } }])
      expect(usesIn({ type: 'TokensUsed', data })).to.equal(0)
  })
})
