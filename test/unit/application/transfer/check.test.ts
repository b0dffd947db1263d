import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { checkFile } from '../../../../src/application/transfer/check.ts'
import {
  BadFileError,
  createSum,
  lastLineOf,
  lineOf,
  type MovedEvent,
} from '../../../../src/application/transfer/file.ts'
import { genesis, link } from '../../../../src/domain/chain.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { createWriter, fill, movableEvent, USAGE } from '../../../support/events/movable.ts'
import { chunked, fileOf } from '../../../support/events/transfer.ts'

describe('The check of a file to be imported', () => {
  let file: Buffer
  let lines: string[]

  before(async () => {
    const { store } = memoryStore()
    await fill(store, 2)
    file = Buffer.from(await fileOf(store))
    lines = file.toString().split(/(?<=\n)/)
  })

  async function refusal(changed: string | Uint8Array): Promise<string> {
    const error = await rejection(checkFile(chunked(changed)))
    expect(error).to.be.instanceOf(BadFileError)
    return (error as Error).message
  }

  /** A last line that is right, so that only the events themselves are checked. */
  function withLastLine(events: readonly string[]): string {
    const sum = createSum()
    for (const line of events) sum.add(line)
    return events.join('') + lastLineOf(sum.result())
  }

  const parsed = (number: number): MovedEvent => JSON.parse(lines[number - 1] ?? '') as MovedEvent

  it('passes a file as it was exported, wherever it is cut for reading', async () => {
    for (const size of [1, 7, 1000, file.length]) {
      expect(await checkFile(chunked(file, size))).to.deep.include({ events: 16 })
    }
  })

  it('finds a changed byte anywhere, and says where', async () => {
    let line = 1
    for (let at = 0; at < file.length; at++) {
      // Trying every byte would take seconds and show no more.
      if (file[at] !== 10 && at % 3 !== 0) continue
      const changed = Buffer.from(file)
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      const message = await refusal(changed)
      if (file[at] === 10) line++
      else if (line <= 16 && changed[at] !== 10) expect(message).to.contain(`Line ${line}:`)
    }
  })

  it('finds a file that was cut short, wherever that was', async () => {
    for (let length = 0; length < file.length; length += 13) {
      expect(await refusal(file.subarray(0, length))).to.match(/cut short|last line/)
    }
    expect(await refusal(file.subarray(0, -1))).to.contain('cut short in line 17')
  })

  it('finds each line that is missing, doubled, or has changed its place', async () => {
    for (let i = 0; i < lines.length; i++) {
      await refusal(lines.toSpliced(i, 1).join(''))
      await refusal(lines.toSpliced(i, 0, lines[i] ?? '').join(''))
      if (i > 0)
        await refusal(
          lines
            .with(i, lines[i - 1] ?? '')
            .with(i - 1, lines[i] ?? '')
            .join(''),
        )
    }
    // They are of two streams, so that each stream is complete.
    expect(
      await refusal(
        lines
          .with(0, lines[1] ?? '')
          .with(1, lines[0] ?? '')
          .join(''),
      ),
    ).to.contain('SHA-256')
  })

  it('finds each line that is missing, doubled or moved within its stream where the last line was made to fit', async () => {
    const events = lines.slice(0, -1)
    const usage = events.flatMap((line, i) => (line.includes(USAGE) ? [i] : []))
    for (const i of usage.slice(0, -1)) {
      await refusal(withLastLine(events.toSpliced(i, 1)))
      await refusal(withLastLine(events.toSpliced(i, 0, events[i] ?? '')))
      const next = usage[usage.indexOf(i) + 1] ?? 0
      await refusal(withLastLine(events.with(i, events[next] ?? '').with(next, events[i] ?? '')))
    }
    const message = await refusal(withLastLine(events.toSpliced(usage[2] ?? 0, 1)))
    expect(message).to.match(new RegExp(`^Line ${(usage[2] ?? 0) + 1}: revision 2 of ${USAGE}`))
  })

  const forgeries: Record<string, (event: MovedEvent) => Partial<MovedEvent>> = {
    'other data': () => ({ data: { count: 1 } }),
    'another time': ({ metadata }) => ({
      metadata: { ...(metadata as object), at: '2020-01-01T00:00:00.000Z' },
    }),
    'another type': () => ({ type: 'UsageLost' }),
    'another id': () => ({ id: randomUUID() }),
    'an id that is no UUID': () => ({ id: '1' }),
    'no metadata': () => ({ metadata: null }),
    'a text for data': () => ({ data: 'x' }),
    'a stream of somebody else': () => ({ stream: 'orders-1', revision: 0 }),
    'a stream that writes to terminals': ({ stream }) => ({ stream: `${stream}\u009B2J` }),
    'a revision that is none': () => ({ revision: 0.5 }),
    'a negative revision': () => ({ revision: -1 }),
  }
  for (const [name, forge] of Object.entries(forgeries)) {
    it(`finds ${name} where the last line was made to fit`, async () => {
      const event = parsed(3)
      const forged = lineOf({ ...event, ...forge(event) })
      expect(await refusal(withLastLine(lines.slice(0, -1).with(2, forged)))).to.match(/^Line 3:/)
    })
  }

  it('finds an id that two events of tokens share', async () => {
    const { store } = memoryStore()
    const write = createWriter(store)
    const created = movableEvent('TokenCreated')
    await write(tokenStream('a'), [created])
    await write(tokenStream('b'), [created])
    const events = (await rejection(fileOf(store))) as Error
    expect(events.message).to.contain('its id is that of an earlier event')
    const twice = ['a', 'b'].map((name) => {
      const [event] = link(genesis(tokenStream(name)), [created])
      return lineOf({ ...(event as typeof created), stream: tokenStream(name), revision: 0 })
    })
    expect(await refusal(withLastLine(twice))).to.match(/^Line 2: its id/)
  })

  const spellings: Record<string, (line: string) => string> = {
    'white space': (line) => line.replace('{', '{ '),
    'line ends of two characters': (line) => line.replace('\n', '\r\n'),
    'another order of members': (line) => line.replace(/^\{("stream":"[^"]+"),("revision":\d+)/, '{$2,$1'),
    'a member more': (line) => line.replace(/\}\n$/, ',"position":"1"}\n'),
    'a member twice': (line) => line.replace(/^\{/, '{"revision":0,'),
    'a number written otherwise': (line) => line.replace(/"revision":(\d+)/, '"revision":$1.0'),
    'a text written otherwise': (line) => line.replace('"stream":"t', '"stream":"\\u0074'),
    'a mark of byte order': (line) => `\uFEFF${line}`,
    'an empty line': () => '\n',
    'a line of null': () => 'null\n',
  }
  for (const [name, respell] of Object.entries(spellings)) {
    it(`finds ${name}, which another export would not have`, async () => {
      const changed = respell(lines[2] ?? '')
      expect(changed).to.not.equal(lines[2])
      expect(await refusal(withLastLine(lines.slice(0, -1).with(2, changed)))).to.match(/^Line 3:/)
    })
  }

  it('finds bytes that are not UTF-8', async () => {
    const at = file.indexOf('😀')
    expect(await refusal(Buffer.concat([file.subarray(0, at + 2), file.subarray(at + 4)]))).to.contain(
      'UTF-8',
    )
  })

  it('finds what is no text at all without keeping it in memory', async () => {
    let read = 0
    const endless = async function* () {
      for (;;) {
        read += 100_000
        yield Buffer.alloc(100_000, 'x')
      }
    }
    expect(await rejection(checkFile(endless()))).to.be.instanceOf(BadFileError)
    expect(read).to.be.lessThan(2_000_000)
  })

  it('finds an empty file, and what stands behind the last line', async () => {
    expect(await refusal('')).to.contain('cut short')
    expect(await refusal(file.toString() + file.toString())).to.contain('behind the last line')
  })
})
