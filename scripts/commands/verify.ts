import { readFileSync } from 'node:fs'
import type { Checkpoint, CheckpointFindings } from '../../src/application/audit/checkpoint.ts'
import type { Damage, Walked } from '../../src/application/audit/verifyLog.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import { DAY_MS } from '../../src/domain/time.ts'
import { checkingKey } from '../../src/settings/auditKey.ts'
import { createLogDigester } from '../../src/application/audit/logDigest.ts'
import { digestOf, assessDifferences, readCheckpoint } from '../../src/application/audit/checkpoint.ts'
import { type EventReads, withEventStore } from '../cli/stores.ts'
import { walkLog } from '../../src/application/audit/verifyLog.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type ExitCode, type Io, JSON_OPTION } from '../cli/command.ts'
import { damageText } from '../cli/damage.ts'
import { sizeOf } from '../cli/inputFile.ts'
import { jsonList } from '../cli/jsonList.ts'
import { plural, progress } from '../cli/output.ts'
import { verifyModel } from './verifyModel.ts'

export const verify = defineCommand({
  name: 'verify',
  summary: 'Find out whether the read model is what the events say, or whether anybody has altered them.',
  usage: '[--chain | --against <file>] [--json]',
  help: [
    'Without an option every document is compared with a fold of the events, made in a temporary file, up to where the',
    'read model is; how many events the log has behind that is said. Only reads, and may run beside the service; what is',
    'appended meanwhile is left for the next time. Exit code 1 if anything was found, 3 if it could not look: a store does',
    'not answer, the read model has no event yet, or the rest of the log cannot be read. Behind',
    'a damaged event its stream is not compared. A usage stream that retention has shortened is checked from its first',
    'event left.',
  ].join('\n'),
  args: [],
  options: {
    chain: {
      type: 'boolean',
      help: 'Check every link of every stream; name the first event of each that was altered, inserted, removed or moved.',
    },
    against: {
      type: 'string',
      value: '<file>',
      help: 'The same, and hold the log to a checkpoint: finds what was cut off or rewritten with new links, too.',
    },
    json: JSON_OPTION,
  },
  async run({ values: { chain, against, json: asJson = false } }, io) {
    const settings = storedSettings(io)
    if (against !== undefined) return verifyLog(settings, io, asJson, readAgainst(against, settings))
    return chain ? verifyLog(settings, io, asJson, null) : verifyModel(settings, io, asJson)
  },
})

function readAgainst(path: string, settings: Settings): Checkpoint {
  sizeOf(path, '--against')
  return readCheckpoint(readFileSync(path, 'utf8'), checkingKey(settings))
}

async function verifyLog(
  settings: Settings,
  io: Io,
  asJson: boolean,
  checkpoint: Checkpoint | null,
): Promise<ExitCode> {
  const bar = progress(io, 2)
  const write = (text: string): Promise<void> => {
    bar.done()
    return io.write(text)
  }
  const report = asJson ? jsonReport(write) : textReport(write)
  const started = performance.now()
  try {
    return await withEventStore(settings, async (reads) => {
      const digester = checkpoint && createLogDigester(digestOf(checkpoint))
      bar.step('checking links')
      const walked = await walkLog(reads.store, {
        onEvent: digester?.add,
        onDamage: (damage) => report.damage(damage),
        onProgress: (events) => bar.at(null, events),
      })
      const seconds = (performance.now() - started) / 1000
      bar.step('checking indexes')
      walked.damages += await reportIndexes(reads, report)
      const isFound = walked.damages > (walked.isWhole ? 0 : 1)
      // If the log was not read to its end, the missing part must not be reported as a difference.
      const differences = walked.isWhole ? digester?.differences() : undefined
      const held = differences ? assessDifferences(differences, firstDayKept(settings, io.now())) : null
      await report.end({ walked, held, checkpoint, seconds })
      if (isFound || (held && held.found.length > 0)) return 1
      return walked.isWhole ? 0 : 3
    })
  } finally {
    bar.done()
  }
}

async function reportIndexes(reads: EventReads, report: Report): Promise<number> {
  const problems = await reads.indexProblems().catch((error: unknown) => {
    if (error instanceof DamagedError) return [{ stream: null, what: error.message }]
    throw error
  })
  for (const problem of problems)
    await report.damage({ kind: 'index', revision: null, position: null, ...problem })
  return problems.length
}

/** Retention may have taken the usage of days before this one; null if usage is kept for ever. */
const firstDayKept = ({ usageRetentionDays: days }: Settings, now: number): string | null =>
  days === null ? null : new Date(now - (days - 1) * DAY_MS).toISOString().slice(0, 10)

interface End {
  walked: Walked
  held: CheckpointFindings | null
  checkpoint: Checkpoint | null
  /** The time that checking the links took. */
  seconds: number
}

/** Damages are written as they are found, since there may be as many as streams. */
interface Report {
  damage(damage: Damage): Promise<void>
  end(end: End): Promise<void>
}

function textReport(write: Io['write']): Report {
  return {
    damage: (damage) => write(`${damageText(damage)}\n`),
    async end({
      walked: { events, streams, shortened, damages, notCompared, isWhole },
      held,
      checkpoint,
      seconds,
    }) {
      const rate = Math.round(events / Math.max(seconds, 0.001))
      const lines = [`${plural(events, 'event')} in ${plural(streams, 'stream')}, ${rate} events/s`]
      if (shortened > 0) lines.push(`${plural(shortened, 'usage stream')} shortened by retention`)
      lines.push(damages === 0 ? 'No link is broken.' : `${plural(damages, 'place')} damaged.`)
      if (notCompared > 0)
        lines.push(`${plural(notCompared, 'event')} not compared: damage stands before them.`)
      if (!isWhole) lines.push('The rest of the log could not be read, and nothing is said of it.')
      if (held && checkpoint) lines.push(...heldLines(held, checkpoint))
      await write(`${lines.join('\n')}\n`)
    },
  }
}

function* heldLines({ found, expired }: CheckpointFindings, { at, events }: Checkpoint): Generator<string> {
  for (const what of found) yield `Since the checkpoint of ${at}: ${what}.`
  if (expired.length > 0)
    yield `Usage taken by retention, in part or whole, and not held to it: ${expired.join(', ')}`
  if (found.length === 0) yield `The log holds the ${plural(events, 'event')} of the checkpoint of ${at}.`
}

function jsonReport(write: Io['write']): Report {
  const list = jsonList(write, 'damaged')
  return {
    damage: list.add,
    end: ({
      walked: { events, streams, shortened, damages, notCompared, isWhole },
      held,
      checkpoint,
      seconds,
    }) =>
      list.end({
        ok: damages === 0 && isWhole && (held === null || held.found.length === 0),
        events,
        streams,
        shortened,
        not_compared: notCompared,
        read_to_end: isWhole,
        events_per_second: Math.round(events / Math.max(seconds, 0.001)),
        checkpoint: held && checkpoint && { at: checkpoint.at, events: checkpoint.events, ...held },
      }),
  }
}
