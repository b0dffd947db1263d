import { constants, setPriority } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { rebuildReadModel, UnknownProjectionError } from '../cli/rebuildReadModel.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { leaveACore } from '../cli/leaveACore.ts'
import { defineCommand, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { logTo } from '../cli/logTo.ts'
import { json, plural, progress } from '../cli/output.ts'

export const rebuildCommand = defineCommand({
  name: 'rebuild',
  summary: 'Fill the read model again from the events, beside the one that is in use, and switch to it.',
  usage: '[--projection <name>] [--json]',
  help: [
    'The service goes on and answers from the old documents until the new ones have caught up with the log; then all',
    'its processes switch, and the old ones go. Without a service this command switches by itself. Killed, it is gone on',
    'with by the next call. On SQLite the new documents need as much disk as the old ones, beside them.',
  ].join('\n'),
  args: [],
  options: {
    projection: { type: 'string', value: '<name>', help: 'Only these documents. Default: all.' },
    json: JSON_OPTION,
  },
  async run({ values }, io) {
    stepBack()
    const settings = storedSettings(io)
    const bar = progress(io, 2)
    const started = io.now()
    const filling = createFilling(bar)
    try {
      const { projections, events } = await rebuildReadModel(settings, values.projection, {
        log: logTo(io),
        onProgress: filling,
        giveWay: leaveACore,
        signal: new AbortController().signal,
      })
      bar.done()
      const seconds = (io.now() - started) / 1000
      io.out(
        values.json
          ? json({ projections, events, seconds })
          : `${projections.join(', ')}: rebuilt from ${plural(events, 'event')} in ${seconds.toFixed(1)} s\n`,
      )
      return 0
    } catch (error) {
      bar.done()
      throw error instanceof UnknownProjectionError ? new WrongUse(error.message) : error
    }
  },
})

/**
 * Lets requests to the service go first, and keeps memory small: Node would let it grow for a program that allocates
 * fast.
 */
function stepBack(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=50')
  setPriority(constants.priority.PRIORITY_LOW)
}

type OnProgress = Parameters<typeof rebuildReadModel>[2]['onProgress']

function createFilling(bar: ReturnType<typeof progress>): OnProgress {
  let phase = ''
  return (state, end) => {
    if (state.phase !== phase) bar.step(state.phase)
    phase = state.phase
    bar.at(shareOf(state.position, end), state.events)
  }
}

/**
 * How much of the way to a position is done, from 0 to 1. Positions sort as text, and begin with a number in both
 * stores.
 */
function shareOf(position: string | null, end: string): number | null {
  const [at, of] = [position, end].map((text) => Number(/^\d+/.exec(text ?? '')?.[0]))
  if (at === undefined || !of) return null
  return Math.min(1, at / of)
}
