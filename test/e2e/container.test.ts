import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { parse } from 'yaml'
import { readSettings } from '../../src/settings/settings.ts'
import { projectRoot } from '../support/project/package.ts'
import { endServices, startService } from '../support/processes/service.ts'

interface ComposeService {
  image?: string
  build?: string
  profiles?: string[]
  restart?: string
  stop_grace_period?: string
  environment?: Record<string, string | null>
  depends_on?: Record<string, object>
  ports?: string[]
  volumes?: string[]
  healthcheck?: { test: string[] }
}

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8')
const composeText = read('docker-compose.yml').replaceAll(/#.*/g, '')
const compose = parse(composeText, { merge: true }) as {
  services: Record<string, ComposeService>
  volumes: Record<string, unknown>
}
const services = Object.entries(compose.services)
const app = compose.services['app'] as ComposeService
const stages = stagesOf(read('Dockerfile'))
const last = stages.at(-1) ?? []

/** The arguments of an instruction of the last stage. */
const argumentsOf = (name: string): string => last.find(([word]) => word === name)?.[1] ?? ''

describe('docker-compose.yml', () => {
  it('starts the stores, and the service only when it is asked for', () => {
    const unasked = services.filter(([, service]) => service.profiles === undefined)
    expect(unasked.map(([name]) => name)).to.have.members(['eventstore', 'mongo'])
    expect(app.profiles).to.deep.equal(['app'])
  })

  it('has three services for EventStoreDB alone, each with a read model of its own', () => {
    const lean = services.filter(([, { profiles }]) => profiles?.includes('lean'))
    expect(lean).to.have.lengthOf(3)
    for (const [, { environment, depends_on }] of lean) {
      expect(Object.keys(depends_on ?? {})).to.deep.equal(['eventstore'])
      expect(environment).to.deep.equal({ ...app.environment, READ_MODEL_URL: 'sqlite:./data/read-model.db' })
    }
    for (const what of ['volumes', 'ports'] as const)
      expect(new Set(lean.flatMap(([, service]) => service[what] ?? [])).size, what).to.equal(3)
  })

  for (const [name, service] of services) {
    it(`publishes ${name} on the loopback interface only`, () => {
      expect(service.ports).to.have.lengthOf(1)
      for (const port of service.ports ?? []) expect(port).to.match(/^127\.0\.0\.1:/)
    })

    it(`knows whether ${name} is healthy, starts it again and gives it time to stop`, () => {
      expect(service.healthcheck?.test[0]).to.equal('CMD')
      expect(service.restart).to.equal('unless-stopped')
      expect(Number.parseInt(service.stop_grace_period ?? '', 10)).to.be.greaterThan(10)
    })

    it(`says exactly what ${name} is made of`, () => {
      if (service.build === undefined) expect(service.image).to.match(/^[\w/]+:\d+\.\d+\.\d+$/)
      else expect(service.image).to.equal(undefined)
    })
  }

  it('keeps data in named volumes', () => {
    const mounted = services.flatMap(([, service]) => service.volumes ?? [])
    expect(mounted.map((mount) => mount.split(':')[1])).to.include.members([
      '/var/lib/eventstore',
      '/data/db',
    ])
    expect(mounted.map((mount) => mount.split(':')[0])).to.have.members(Object.keys(compose.volumes))
  })

  it('holds no secret, and hands on those of the host', () => {
    const { environment = {} } = app
    expect(environment).to.include({ JWT_SECRET: null, TOKEN_PEPPERS: null })
    expect(composeText).not.to.match(/password|:\/\/[^/\s]*@/i)
  })

  it('hands on every setting, but for files and those of the image', () => {
    const settings = new Set<string>()
    const env = new Proxy<Record<string, string | undefined>>(
      {},
      {
        get(_, name) {
          settings.add(String(name))
          return undefined
        },
      },
    )
    readSettings(env)
    const files = [
      'JWT_PUBLIC_KEY_FILE',
      'JWT_KEYS_FILE',
      'AUDIT_KEY_FILE',
      'OAUTH_CLIENTS_FILE',
      'LEAK_KEYS_FILE',
    ]
    for (const name of ['HOST', 'PORT', 'NODE_ENV', ...files]) settings.delete(name)
    expect(Object.keys(app.environment ?? {})).to.have.members([...settings])
  })

  it('needs no secret to start the stores alone', () => {
    expect(composeText).not.to.match(/\$\{\w+:?\?/)
  })
})

describe('the Dockerfile', () => {
  it('builds in one stage and runs in another', () => {
    expect(stages).to.have.lengthOf(2)
    expect(last.filter(([name]) => name === 'RUN').join(' ')).not.to.contain('npm')
  })

  it('uses one exact Node, of a line that the tests run on', () => {
    const images = stages.map(([from]) => from?.[1].split(' ')[0])
    expect(new Set(images).size).to.equal(1)
    const [, major] = /^node:(\d+)\.\d+\.\d+-\w+-slim$/.exec(images[0] ?? '') ?? []
    expect(read('.ci/run')).to.contain(`SECOND_NODE=${major}\n`)
  })

  it('runs node itself, not as root, and stops it with SIGTERM', () => {
    expect(argumentsOf('USER')).to.match(/^[1-9]\d*:[1-9]\d*$/)
    expect(JSON.parse(argumentsOf('CMD'))).to.deep.equal(['node', 'dist/src/main.js'])
    expect(argumentsOf('STOPSIGNAL')).to.equal('SIGTERM')
    expect(argumentsOf('ENV').split(' ')).to.have.members(['NODE_ENV=production', 'HOST=0.0.0.0'])
  })

  it('copies what exists and what .dockerignore lets through, which is nothing else', () => {
    const [first, ...rules] = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    expect(first).to.equal('*')
    const allowed = rules.filter((rule) => rule.startsWith('!')).map((rule) => rule.slice(1))
    const copied = stages
      .flat()
      .filter(([name, rest]) => name === 'COPY' && !rest.startsWith('--from='))
      .flatMap(([, rest]) => rest.split(' ').slice(0, -1))
    expect(new Set(allowed)).to.deep.equal(new Set(copied))
    for (const path of copied) expect(existsSync(join(projectRoot, path)), path).to.equal(true)
  })
})

describe('the health check of the container', () => {
  after(endServices)

  const ofImage = JSON.parse(/CMD (\[.+\])$/.exec(argumentsOf('HEALTHCHECK'))?.[1] ?? '[]') as string[]
  const ofCompose = app.healthcheck?.test.slice(1) ?? []

  it('asks for life in the image, for readiness in docker-compose.yml', () => {
    expect(ofImage.join(' ')).to.contain('/health/live')
    expect(ofCompose.join(' ')).to.contain('/health/ready')
  })

  for (const [where, command] of Object.entries({ 'the image': ofImage, 'docker-compose.yml': ofCompose })) {
    it(`of ${where} ends with 0 while the service is up, and with 1 when it is not`, async () => {
      const service = await startService()
      const { port } = new URL(service.url)
      const [program = '', ...args] = command.map((word) => word.replace(':3000/', `:${port}/`))
      const check = () => spawnSync(program, args, { env: { PATH: process.env['PATH'], PORT: port } }).status
      expect(check()).to.equal(0)
      await service.stop()
      expect(check()).to.equal(1)
    })
  }
})

type Instruction = [name: string, rest: string]

/** The instructions of each stage, `FROM` first. */
function stagesOf(text: string): Instruction[][] {
  const found: Instruction[][] = []
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
  for (const line of lines.filter((each) => each !== '')) {
    const [, name = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    if (name === 'FROM') found.push([])
    found.at(-1)?.push([name, rest])
  }
  return found
}
