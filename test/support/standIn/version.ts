import { status } from '@grpc/grpc-js'
import { type Failure, failure } from './messages.ts'

/** The server that the stand-in behaves like, wherever servers differ. */
export interface Version {
  /** What the server says of itself. */
  number: string
  /** A subscription that cannot keep up with what is written is ended; else the server reads on from the log by itself. */
  dropsSlowSubscriptions: boolean
  /** A subscription from a position beyond the end gets what comes; else only what comes behind that position. */
  givesBeforeTheStart: boolean
  maxAppendBytes: number
  /** How a position is refused at which no event begins. */
  invalidPosition: Failure
}

const MIB = 1_048_576

const SINCE_24_10 = {
  dropsSlowSubscriptions: false,
  givesBeforeTheStart: false,
  invalidPosition: failure(status.INVALID_ARGUMENT, 'Trying to read from an invalid position'),
}

export const versions = {
  '23.10': {
    number: '23.10.6',
    dropsSlowSubscriptions: true,
    givesBeforeTheStart: true,
    maxAppendBytes: MIB,
    invalidPosition: failure(status.UNKNOWN, 'Unexpected FilteredReadAllResult: Error'),
  },
  '24.10': { number: '24.10.4', ...SINCE_24_10, maxAppendBytes: MIB },
  '26.1': { number: '26.1.0', ...SINCE_24_10, maxAppendBytes: 256 * MIB },
} as const satisfies Record<string, Version>

export type VersionName = keyof typeof versions

export const isVersionName = (name: string): name is VersionName => Object.hasOwn(versions, name)

/** That of the image in `docker-compose.yml`, unless `TEST_EVENTSTORE_BEHAVE` names another. */
export const DEFAULT_VERSION: VersionName = fromEnvironment(process.env.TEST_EVENTSTORE_BEHAVE) ?? '24.10'

function fromEnvironment(name: string | undefined): VersionName | undefined {
  if (name === undefined || isVersionName(name)) return name
  throw new Error(`TEST_EVENTSTORE_BEHAVE is one of ${Object.keys(versions).join(', ')}`)
}
