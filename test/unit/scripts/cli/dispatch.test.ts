import { expect } from 'chai'
import { type Command, defineCommand, NotFound, WrongUse } from '../../../../scripts/cli/command.ts'
import { dispatch } from '../../../../scripts/cli/dispatch.ts'
import { SettingsError } from '../../../../src/settings/settings.ts'

const SECRET = 'tkl_0000000000000000000000000000000000000000000ABCDEF'

const greet = defineCommand({
  name: 'greet',
  summary: 'Say hello.',
  usage: '<who> [--loud] [--times <n>]',
  help: 'More about it.',
  args: ['<who>'],
  options: {
    loud: { type: 'boolean', help: 'Shout.' },
    times: { type: 'string', value: '<n>', help: 'How often.' },
  },
  async run({ values, args }, io) {
    const [who = ''] = args
    if (who === 'nobody') throw new NotFound('Nobody is there.')
    if (who === 'wrong') throw new WrongUse('Not like this.')
    if (who === 'unset') throw new SettingsError(['PORT is wrong', 'HOST is wrong'])
    io.out(`${values.loud ? 'HELLO' : 'hello'} ${who} ${values.times ?? 'once'}\n`)
    return who === 'stranger' ? 1 : 0
  },
})

async function run(...argv: string[]) {
  const said = { out: '', err: '' }
  const commands: readonly Command[] = [greet]
  const code = await dispatch(argv, commands, {
    env: {},
    out: (text) => void (said.out += text),
    write: async (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    terminal: false,
    now: () => 0,
  })
  return { code, ...said }
}

describe('The command line', () => {
  it('runs the command with its options and arguments', async () => {
    expect(await run('greet', 'ada', '--loud', '--times=2')).to.deep.equal({
      code: 0,
      out: 'HELLO ada 2\n',
      err: '',
    })
    expect((await run('greet', 'stranger')).code).to.equal(1)
  })

  it('explains itself and each command', async () => {
    for (const all of [['--help'], ['-h'], ['help']]) {
      const { code, out } = await run(...all)
      expect(code).to.equal(0)
      expect(out).to.contain('greet  Say hello.')
    }
    const { code, out } = await run('greet', '--times', '--help')
    expect(code).to.equal(0)
    expect(out)
      .to.contain('Usage: tokenledger greet <who>')
      .and.contain('More about it.')
      .and.contain('--times <n>')
    expect((await run('--version')).out).to.match(/^\d+\.\d+\.\d+/)
  })

  const wrong: Record<string, string[]> = {
    'no command': [],
    'an unknown command': ['greed'],
    'an unknown option': ['greet', 'ada', '--quiet'],
    'a missing argument': ['greet'],
    'too many arguments': ['greet', 'ada', 'bob'],
    'an option twice': ['greet', 'ada', '--times', '1', '--times', '2'],
    'an empty option': ['greet', 'ada', '--times', ''],
    'an option without its value': ['greet', 'ada', '--times'],
    'a value for a switch': ['greet', 'ada', '--loud=yes'],
    'what the command calls wrong': ['greet', 'wrong'],
    'settings that are not usable': ['greet', 'unset'],
  }
  for (const [name, argv] of Object.entries(wrong)) {
    it(`answers 2 on standard error to ${name}`, async () => {
      const { code, out, err } = await run(...argv)
      expect(code).to.equal(2)
      expect(out).to.equal('')
      expect(err).not.to.equal('')
    })
  }

  it('names all problems of the settings', async () => {
    expect((await run('greet', 'unset')).err)
      .to.contain('PORT is wrong')
      .and.contain('HOST is wrong')
  })

  it('answers 1 to what is not there', async () => {
    expect(await run('greet', 'nobody')).to.deep.equal({ code: 1, out: '', err: 'Nobody is there.\n' })
  })

  it('repeats no value it was given: it may be a token', async () => {
    for (const argv of [
      [SECRET],
      ['greet', 'ada', SECRET],
      ['greet', 'ada', `--tokn=${SECRET}`],
      ['greet', `--loud=${SECRET}`, 'ada'],
    ]) {
      expect((await run(...argv)).err).not.to.contain(SECRET)
    }
  })
})
