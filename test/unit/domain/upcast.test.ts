import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'
import { genesis, isLinked, storedChain } from '../../../src/domain/chain.ts'
import { type EventType, eventSchemas, metadataSchema, type StoredEvent } from '../../../src/domain/events.ts'
import {
  DELIVERY_STREAM,
  heartbeatStream,
  IMPORT_STREAM,
  LEASE_STREAM,
  PEPPER_STREAM,
  portalStream,
  ROLLED_UP_DAYS,
  rollUpStream,
  tokenStream,
  usageStream,
} from '../../../src/domain/streams.ts'
import { lifecycleKinds, notUnderstood, upcast, versions } from '../../../src/domain/upcast.ts'
import { entriesOf } from '../../../src/domain/usageEntries.ts'
import { refusedEvents } from '../../../projections/refusedEvents.ts'
import { tokenHistory } from '../../../projections/tokenHistory.ts'
import { tokens } from '../../../projections/tokens.ts'
import { projectRoot } from '../../support/project/package.ts'

const FOLDER = join(projectRoot, 'test/golden/events')
const TOKEN = tokenStream('0195506f-6c00-7a31-9c4e-5d2f8b1a7e03')
const BY_USER = tokenStream('0195506f-6c00-7a31-9c4e-5d2f8b1a7e04')
const IMPORTED = tokenStream('0c1f9b7e-4d2a-4e0b-9a65-7b1d3c5e8f21')
const DESCRIBED = tokenStream('0195506f-6c00-7a31-9c4e-5d2f8b1a7e05')
const IMPORTED_LATER = tokenStream('0c1f9b7e-4d2a-4e0b-9a65-7b1d3c5e8f22')
const USAGE = usageStream('0195506b-0000-7f10-8a2b-3c4d5e6f7081', '2026-03-01T10:12:39.400Z')

interface Golden {
  stream: string
  /** The golden file of the event before it in its stream; null for a first event. */
  after: string | null
  /** The SHA-256 of the file's bytes. What is stored somewhere never changes: add a file, and never edit one. */
  sha256: string
}

const goldens: Record<string, Golden> = {
  'TokenCreated.v1.json': {
    stream: TOKEN,
    after: null,
    sha256: 'ba198293437791a25283664e5b12fb0195bdb831677deb3ba73f98324e240804',
  },
  'TokenImported.v1.json': {
    stream: IMPORTED,
    after: null,
    sha256: 'a5ccbc79b1b879e329247c235e39c9052ee79d9c2d4fe6c9ce67b896cf07ec99',
  },
  'TokenUpdated.v1.json': {
    stream: TOKEN,
    after: 'TokenCreated.v1.json',
    sha256: 'a71a9633b200a395572d9e8c68403727dd1c4f47e4f57ad7f8879a8119303b3d',
  },
  'TokenRevoked.v1.json': {
    stream: TOKEN,
    after: 'TokenUpdated.v1.json',
    sha256: '5f3e9cf55c6db590cf3cb78af523a808f5309da8c4ee32361f6c4e78bfc58b4c',
  },
  'TokenCreated.v1.user.json': {
    stream: BY_USER,
    after: null,
    sha256: 'f0044b290eb8d67fe17bdbab06b3c177ee8bb4c13ee1074b3eae14381135d9c0',
  },
  'TokenRevoked.v1.code.json': {
    stream: BY_USER,
    after: 'TokenCreated.v1.user.json',
    sha256: '6d1b01c98095854c69cb75514e8a42cfaa622e68f0d1105e73735df5730b0cec',
  },
  'TokenExpiring.v1.json': {
    stream: BY_USER,
    after: 'TokenCreated.v1.user.json',
    sha256: '10750d942f32ab7c9c70d46265f4a222a91abfc2844550de88d02b2a59057c9c',
  },
  'TokenExpired.v1.json': {
    stream: BY_USER,
    after: 'TokenExpiring.v1.json',
    sha256: '76a6d2059ab02881ea4853745aad73b0d6bc1d744215b5e892a651a64eff556c',
  },
  'TokenUsed.v1.json': {
    stream: USAGE,
    after: null,
    sha256: '5c8f58a0abd2e47f08dee9ba699196ed0f25c477d91f2cb57e774f752aa10766',
  },
  'UsageLost.v1.json': {
    stream: USAGE,
    after: 'TokenUsed.v1.json',
    sha256: 'c6aea64ce58b452d024b67144cc7f87640579a535c68750ccf3d3a1f7246b81c',
  },
  'TokenUsed.v2.json': {
    stream: USAGE,
    after: 'UsageLost.v1.json',
    sha256: '80ddc80304051d0069bf60a78af01375050545e3ef6969ed857f8ab460f09a61',
  },
  'TokensUsed.v1.json': {
    stream: USAGE,
    after: 'TokenUsed.v2.json',
    sha256: 'b68d0083d16ae8caa9153b2dd64bd24b7dd5231d828d35d72d948cd05240e4b4',
  },
  'RetiredSecretsUsed.v1.json': {
    stream: USAGE,
    after: 'TokensUsed.v1.json',
    sha256: 'dc79d3454995b4f8d497d2f7b43a801934311cccbae76ee9712714a3ee32ff88',
  },
  'UsageRolledUp.v1.json': {
    stream: rollUpStream('2026-03-01'),
    after: null,
    sha256: '152dcf622cb05792400084e8a0c5bbb23f24a8d9feec108ba44a16d68f59a7c2',
  },
  'UsageRolledUp.v2.json': {
    stream: rollUpStream('2026-03-01'),
    after: 'UsageRolledUp.v1.json',
    sha256: 'b884dbdaf5c1ec70e33b6c77c35dbf3b02a3b0964c7a55f5fb27ef55f264f5d8',
  },
  'UsageDayRolledUp.v1.json': {
    stream: ROLLED_UP_DAYS,
    after: null,
    sha256: '6eef8582e21b0c3954481a79fdaaf223f2435332bf3f93410c81491c488202df',
  },
  'ImportAdvanced.v1.json': {
    stream: IMPORT_STREAM,
    after: null,
    sha256: 'fa3a143253e0f3e17b6a6e8c36bc685da611d4db6627bd97bb71cc82278482de',
  },
  'DeliveryAdvanced.v1.json': {
    stream: `${DELIVERY_STREAM}webhooks`,
    after: null,
    sha256: '8a08bcecee34061a962ac5266ef81c1223edef3105490cb409ae3b234bb88143',
  },
  'PortalSessionOpened.v1.json': {
    stream: portalStream('01956a40-1c00-7e11-8a2b-4c5d6e7f8091'),
    after: null,
    sha256: 'c2e1306d2a7ac7d4de7355885430431f375b3f81ad687b76f15f2a66397f6958',
  },
  'HeartbeatWritten.v1.json': {
    stream: heartbeatStream('01956b10-2c41-7a2b-9c3d-4e5f60718293'),
    after: null,
    sha256: '0e52ef7ad8c5198530bba29eaa099b31572c6a7786e6b6b641b6e80802d06f35',
  },
  'LeaseAdvanced.v1.json': {
    stream: LEASE_STREAM,
    after: null,
    sha256: '0ecbb0ede91f97d73a00eedc82558ae6651cd23731fad91bb8b2bc387233ef75',
  },
  'TokenCreated.v2.json': {
    stream: DESCRIBED,
    after: null,
    sha256: 'f350431686949a0e429789f566dbbf101888cb715b1b01fead8b7531c3da4b43',
  },
  'TokenUpdated.v2.json': {
    stream: DESCRIBED,
    after: 'TokenCreated.v2.json',
    sha256: 'c1a4b546a0449503734cfbc358466867990c7842f144da621f33e6989fe49058',
  },
  'TokenRotationStarted.v1.json': {
    stream: DESCRIBED,
    after: 'TokenUpdated.v2.json',
    sha256: '96fad04bd17d4104751bc61ab4f6f9b83fd376aa40fdebcab984f894bdd9c48e',
  },
  'TokenSecretActivated.v1.json': {
    stream: DESCRIBED,
    after: 'TokenRotationStarted.v1.json',
    sha256: '722dd46a8773a2521afa8b949d741bb036a96091c6e210eb735946bfe72ba04f',
  },
  'TokenRotationEnded.v1.json': {
    stream: DESCRIBED,
    after: 'TokenSecretActivated.v1.json',
    sha256: 'e534d2e6d8c6cd36a6fb44212e083396de43e8d738a327331c09c3d0188a90eb',
  },
  'TokenRotationStarted.v1.grace.json': {
    stream: DESCRIBED,
    after: 'TokenRotationEnded.v1.json',
    sha256: '4f3b9d4ecbfeaf33498a692c61ca2a698fa2aa44f263f2dc7720e9dab3a8a46a',
  },
  'TokenLeaked.v1.json': {
    stream: DESCRIBED,
    after: 'TokenRotationStarted.v1.grace.json',
    sha256: '4dd4f1f9c0027cf211fba77a4fcac3f6eb645d6fc3b8a85947fa0fb5be5d01ca',
  },
  'TokenImported.v2.json': {
    stream: IMPORTED_LATER,
    after: null,
    sha256: 'f9bd143e11d5febc5138ceea344bfdfc2286f441483ea9001420d500bbefd381',
  },
  'PepperUsed.v1.json': {
    stream: PEPPER_STREAM,
    after: null,
    sha256: 'd449184beb5e9155ef2bb12e24faecf16e5feb0dda3c35c8ab48c6dd63a8431b',
  },
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true, formats: { 'date-time': TIME } })
const types = Object.keys(eventSchemas) as EventType[]
const validData = Object.fromEntries(types.map((type) => [type, ajv.compile(eventSchemas[type])]))
const validMetadata = ajv.compile(metadataSchema)

function goldenEvent(file: string): StoredEvent {
  const stored = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as StoredEvent
  return { ...stored, stream: goldens[file]?.stream ?? '', revision: 0, position: '1' }
}

describe('golden events', () => {
  it('are there for each version of each type up to the current one, and for what came later within a version', () => {
    const wanted = types.flatMap((type) =>
      Array.from({ length: versions[type].current }, (_, i) => `${type}.v${i + 1}.json`),
    )
    const others = [
      'TokenCreated.v1.user.json',
      'TokenRevoked.v1.code.json',
      'TokenRotationStarted.v1.grace.json',
    ]
    expect(readdirSync(FOLDER)).to.have.members([...wanted, ...others])
    expect(Object.keys(goldens)).to.have.members([...wanted, ...others])
  })

  for (const [file, { stream, after, sha256 }] of Object.entries(goldens)) {
    const [type = '', version = ''] = file.split('.')

    it(`are never edited: ${file}`, () => {
      const bytes = readFileSync(join(FOLDER, file))
      expect(createHash('sha256').update(bytes).digest('hex')).to.equal(sha256)
    })

    it(`hold what their name says and nothing but a stored event: ${file}`, () => {
      const stored = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as StoredEvent
      expect(stored).to.have.all.keys('id', 'type', 'data', 'metadata')
      expect(stored.type).to.equal(type)
      expect(stored.metadata).to.have.property('schemaVersion', Number(version.slice(1)))
    })

    it(`follow from what was before them: ${file}`, () => {
      const previous = after === null ? genesis(stream) : storedChain(goldenEvent(after))
      expect(isLinked(previous, goldenEvent(file))).to.equal(true)
    })

    it(`are read as events of today: ${file}`, () => {
      const stored = goldenEvent(file)
      const read = upcast(stored)
      if (read.kind !== 'event') throw new Error(read.kind)
      const { event } = read
      const { id, position } = stored
      expect(event).to.include({ id, type, stream, revision: 0, position })
      expect(event.metadata.schemaVersion).to.equal(versions[event.type].current)
      const validate = validData[type]
      expect(validate?.(event.data), ajv.errorsText(validate?.errors)).to.equal(true)
      expect(validMetadata(event.metadata), ajv.errorsText(validMetadata.errors)).to.equal(true)
    })
  }
})

describe('a TokenUsed that names the last caller only', () => {
  const upgraded = (count: number) => {
    const golden = goldenEvent('TokenUsed.v1.json')
    const read = upcast({ ...golden, data: { ...(golden.data as object), count } })
    return read.kind === 'event' ? read.event.data : null
  }

  it('says of its other uses that nobody knows where they came from', () => {
    expect(upgraded(3)).to.deep.include({
      count: 3,
      addresses: [{ ip: '2001:db8::1', count: 1 }],
      otherAddresses: 2,
      userAgents: [{ userAgent: null, count: 1 }],
      otherUserAgents: 2,
    })
  })

  it('says all there is where it is about one use', () => {
    expect(upgraded(1)).to.not.have.any.keys('addresses', 'otherAddresses', 'userAgents', 'otherUserAgents')
  })
})

describe('a roll-up of the time when a token had one secret', () => {
  it('says that all its uses were of that secret', () => {
    const read = upcast(goldenEvent('UsageRolledUp.v1.json'))
    if (read.kind !== 'event' || read.event.type !== 'UsageRolledUp') throw new Error(read.kind)
    for (const { count, lastAt, secrets } of read.event.data.buckets)
      expect(secrets).to.deep.equal([{ secret: 0, count, lastAt }])
  })

  it('is read without an error, whatever it holds instead', () => {
    const golden = goldenEvent('UsageRolledUp.v1.json')
    for (const data of [null, 1, 'text', {}]) expect(upcast({ ...golden, data }).kind).to.equal('event')
  })
})

describe('an event that records uses', () => {
  it('is read as entries, whichever type it has', () => {
    const entries = (file: string) => {
      const read = upcast(goldenEvent(file))
      return read.kind === 'event' ? entriesOf(read.event) : []
    }
    const { data } = goldenEvent('TokenUsed.v2.json')
    expect(entries('TokenUsed.v2.json')).to.deep.equal([{ ...(data as object), secret: 0 }])
    expect(entries('TokensUsed.v1.json').map(({ secret, count }) => [secret, count])).to.deep.equal([
      [0, 46],
      [3, 2],
      [0, 1],
    ])
    expect(entries('UsageLost.v1.json')).to.deep.equal([])
  })
})

describe('an event of an older version', () => {
  const table = {
    Made: {
      current: 3,
      steps: {
        1: ({ name, ...data }: Record<string, unknown>) => ({ ...data, title: name }),
        2: (data: Record<string, unknown>) => ({ ...data, tags: [data.title] }),
      },
    },
    Gapped: { current: 3, steps: { 1: (data: Record<string, unknown>) => data } },
  }
  const stored = (
    schemaVersion: unknown,
    data: object = { name: 'a', n: 1 },
    type = 'Made',
  ): StoredEvent => ({
    id: 'e',
    type,
    data,
    metadata: { at: '2026-03-01T10:00:00.000Z', chain: 'c', schemaVersion },
    stream: 's',
    revision: 4,
    position: '9',
  })
  const today = (data: object) => ({ kind: 'event', event: stored(3, data) })

  it('goes through every step to the current one', () => {
    expect(upcast(stored(1), table)).to.deep.equal(today({ n: 1, title: 'a', tags: ['a'] }))
  })

  it('goes through the steps from its own version on', () => {
    expect(upcast(stored(2, { title: 'b' }), table)).to.deep.equal(today({ title: 'b', tags: ['b'] }))
  })

  it('of the current version stays as it is', () => {
    expect(upcast(stored(3, { name: 'kept' }), table)).to.deep.equal(today({ name: 'kept' }))
  })

  it('is not altered where it is stored', () => {
    const event = stored(1)
    upcast(event, table)
    expect(event).to.deep.equal(stored(1))
  })

  it('without a step on its way is of an unknown version', () => {
    expect(upcast(stored(1, {}, 'Gapped'), table)).to.deep.equal({ kind: 'unknown-version', version: 1 })
  })

  for (const version of [4, 0, -1, 1.5, undefined, null, '1', '3', true, [1], {}]) {
    it(`that does not exist is of an unknown version: ${JSON.stringify(version) ?? 'none'}`, () => {
      expect(upcast(stored(version), table)).to.deep.equal({ kind: 'unknown-version', version })
    })
  }

  it('is of an unknown version where its metadata cannot be read', () => {
    for (const metadata of [null, undefined, 'text', 1, []]) {
      expect(upcast({ ...stored(1), metadata }, table)).to.deep.equal({
        kind: 'unknown-version',
        version: undefined,
      })
    }
  })

  for (const type of types) {
    it(`is of an unknown version where a newer ${type} was written`, () => {
      const version = versions[type].current + 1
      expect(upcast(stored(version, {}, type))).to.deep.equal({ kind: 'unknown-version', version })
    })
  }
})

describe('an event of an unknown type', () => {
  const stored = (stream: string, type: string, metadata: object | null = {}): StoredEvent => ({
    id: 'e',
    type,
    data: {},
    metadata: metadata && { schemaVersion: 1, ...metadata },
    stream,
    revision: 0,
    position: '1',
  })
  const reasonFor = (event: StoredEvent) => notUnderstood(event, upcast(event))

  it('ends what is known of a token, unless it says that it only informs', () => {
    expect(reasonFor(stored(TOKEN, 'TokenRotated'))).to.equal('unknown type TokenRotated')
    expect(reasonFor(stored(TOKEN, 'TokenRotated', { informational: true }))).to.equal(null)
    for (const informational of [false, 'true', 1, null, {}, []]) {
      expect(reasonFor(stored(TOKEN, 'TokenRotated', { informational }))).to.be.a('string')
    }
    expect(reasonFor(stored(TOKEN, 'TokenRotated', null))).to.be.a('string')
  })

  it('is passed over in every other stream', () => {
    for (const stream of [USAGE, rollUpStream('2026-03-01'), 'portal-1']) {
      expect(reasonFor(stored(stream, 'TokenRotated'))).to.equal(null)
    }
  })

  it('is also one of a type that belongs elsewhere', () => {
    for (const type of types) {
      const isLife =
        !/^(TokenUsed|TokensUsed|Retired|Usage|Import|Portal|Heartbeat|Lease|Delivery|Pepper)/.test(type)
      const { current: schemaVersion } = versions[type]
      const [inLife, inUse] = [stored(TOKEN, type, { schemaVersion }), stored(USAGE, type, { schemaVersion })]
      expect(upcast(inLife).kind, type).to.equal(isLife ? 'event' : 'unknown-type')
      expect(upcast(inUse).kind, type).to.equal(isLife ? 'unknown-type' : 'event')
      expect(reasonFor(inLife) === null).to.equal(isLife)
    }
  })

  it('is not understood in an unknown version, even if it only informs', () => {
    const metadata = { schemaVersion: 99, informational: true }
    expect(reasonFor(stored(TOKEN, 'TokenUpdated', metadata))).to.equal('unknown version of TokenUpdated')
    expect(reasonFor(stored(USAGE, 'TokenUsed', metadata))).to.equal('unknown version of TokenUsed')
  })

  for (const type of ['TokenRotated', 'tokencreated', '', 'constructor', '__proto__', 'toString']) {
    it(`is said to be one, whatever its version: ${type}`, () => {
      for (const schemaVersion of [1, 99, undefined]) {
        const event = { id: 'e', type, data: {}, metadata: { schemaVersion } }
        expect(upcast({ ...event, stream: 's', revision: 0, position: '1' })).to.deep.equal({
          kind: 'unknown-type',
        })
      }
    })
  }
})

describe('documents that tell of tokens\u2019 lives', () => {
  it('are those of the events that are known, all of which they are made from', () => {
    const life = types.filter(
      (type) =>
        !/^(TokenUsed|TokensUsed|Retired|Usage|Import|Portal|Heartbeat|Lease|Delivery|Pepper)/.test(type),
    )
    expect(lifecycleKinds()).to.equal(life.reduce((sum, type) => sum + versions[type].current, 0))
    for (const { version, events } of [tokens, tokenHistory]) {
      expect(version % 1_000).to.equal(lifecycleKinds())
      expect(events).to.include.members(life)
    }
    expect(refusedEvents.version % 1_000).to.equal(lifecycleKinds())
  })

  it('may be told that an event only informs', () => {
    const { metadata } = goldenEvent('TokenUpdated.v1.json') as { metadata: object }
    expect(validMetadata({ ...metadata, informational: true })).to.equal(true)
    expect(validMetadata({ ...metadata, informational: false })).to.equal(false)
  })
})
