import type { Exported } from '../../src/application/transfer/exportEvents.ts'
import { exportEvents } from '../../src/application/transfer/exportEvents.ts'
import { withEventStore } from '../cli/stores.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type Io, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { json, plural, progress } from '../cli/output.ts'
import { writeWhole } from '../cli/wholeFile.ts'

export const exportCommand = defineCommand({
  name: 'export',
  summary: 'Write all events to a file or to standard output, to be imported into another event store.',
  usage: '[--out <file> [--json]]',
  help: [
    'One event a line (NDJSON), in the order of the log, up to the newest there is at the start; a last line has',
    'their number and SHA-256. The same events give the same bytes, whatever store they are in. Each event is',
    'checked against the one before it in its stream: the first that is not what was written ends the export.',
    'Only reads, and may run beside the service. The output holds addresses and keyed hashes: keep it private.',
    'Of usage streams that retention is taking, what is left is not written: it is in the daily roll-ups. Where it is',
    'not, it is written; then the exit code is 1, since such a file cannot be imported.',
  ].join('\n'),
  args: [],
  options: {
    out: {
      type: 'string',
      value: '<file>',
      help: 'Write to this file (mode 0600), which gets its name when it is complete. Default: standard output.',
    },
    json: { ...JSON_OPTION, help: 'Print number and SHA-256 as JSON. With --out only.' },
  },
  async run({ values: { out, json: asJson } }, io) {
    const settings = storedSettings(io)
    if (asJson && out === undefined) throw new WrongUse('--json goes with --out.')
    const exported =
      out === undefined
        ? await exportTo(io.write, settings, io)
        : await writeWhole(out, '--out', (write) => exportTo(write, settings, io))
    const { leftOut, ...rest } = exported
    if (asJson) io.out(json({ ...rest, left_out: leftOut }))
    else
      (out === undefined ? io.err : io.out)(
        `${plural(exported.events, 'event')}, SHA-256 ${exported.sha256}\n`,
      )
    return exitCodeOf(exported, io)
  },
})

async function exportTo(
  write: (text: string) => Promise<void>,
  settings: Settings,
  io: Io,
): Promise<Exported> {
  const bar = progress(io, 1)
  try {
    return await withEventStore(settings, ({ store }) => {
      bar.step('exporting')
      return exportEvents(store, write, (events) => bar.at(null, events))
    })
  } finally {
    bar.done()
  }
}

function exitCodeOf({ leftOut, shortened: [first, ...others] }: Exported, io: Io): 0 | 1 {
  if (leftOut > 0) {
    io.err(`${plural(leftOut, 'event')} left out: retention is taking them, and their uses are rolled up.\n`)
  }
  if (first === undefined) return 0
  const more = others.length === 0 ? '' : ` and ${plural(others.length, 'other stream')}`
  io.err(`Retention has taken the first events of ${first}${more}: this export cannot be imported.\n`)
  return 1
}
