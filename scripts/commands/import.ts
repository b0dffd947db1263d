import { createReadStream } from 'node:fs'
import type { Imported } from '../../src/application/transfer/importEvents.ts'
import type { Sum } from '../../src/application/transfer/file.ts'
import { checkFile } from '../../src/application/transfer/check.ts'
import { importEvents } from '../../src/application/transfer/importEvents.ts'
import { withWritableEventStore } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type Io, JSON_OPTION } from '../cli/command.ts'
import { sizeOf } from '../cli/inputFile.ts'
import { json, type Progress, progress, table } from '../cli/output.ts'

export const importCommand = defineCommand({
  name: 'import',
  summary: 'Load the events of an export into an empty event store.',
  usage: '<file> [--json]',
  help: [
    'Stop all services that use the store EVENT_STORE_URL names. The whole file is checked first: if a line is not',
    'what export wrote, it is named and nothing is written. A store that holds anything else than a leading part',
    'of this file is refused. An import that was killed or failed goes on from there when it is run again. In the',
    'end all events are read back and compared with the file by number and SHA-256.',
    'A read model belongs to one event store: let READ_MODEL_URL name a new one for the first start.',
  ].join('\n'),
  args: ['<file>'],
  options: { json: JSON_OPTION },
  async run({ values, args: [path = ''] }, io) {
    const settings = storedSettings(io)
    const size = sizeOf(path, '<file>')
    const bar = progress(io, 3)
    try {
      const file = await check(path, size, bar)
      bar.step('importing')
      const imported = await withWritableEventStore(settings, bar.note, ({ store, patience }) =>
        importEvents(store, createReadStream(path), progressOf(bar, file), patience),
      )
      bar.done()
      return report(file, imported, values.json === true, io)
    } catch (error) {
      bar.done()
      throw error
    }
  },
})

function check(path: string, size: number, bar: Progress): Promise<Sum> {
  const chunks = createReadStream(path)
  bar.step('checking the file')
  return checkFile(chunks, (events) => bar.at(chunks.bytesRead / size, events))
}

function progressOf(bar: Progress, { events: total }: Sum) {
  let isReadingBack = false
  return {
    written: (events: number) => bar.at(events / total, events),
    readBack(events: number) {
      if (!isReadingBack) bar.step('reading back')
      isReadingBack = true
      bar.at(events / total, events)
    },
  }
}

function report(file: Sum, { alreadyThere, ...store }: Imported, asJson: boolean, io: Io): 0 | 1 {
  const ok = store.events === file.events && store.sha256 === file.sha256
  if (asJson) {
    io.out(json({ ok, already_there: alreadyThere, file, store }))
  } else {
    const rows = Object.entries({ file, store }).map(([name, { events, sha256 }]) => [name, events, sha256])
    io.out(table(['', 'events', 'SHA-256'], rows))
    if (alreadyThere > 0) io.out(`${alreadyThere} of them were there before.\n`)
  }
  if (!ok) io.err('The store does not hold what the file does: import into another one.\n')
  return ok ? 0 : 1
}
