while true; do
    # 503 after a minute while it is red; no connection while it is away.
    until curl -sfo /dev/null "$app/readyz?wait=60"; do sleep 1; done
    echo "add $app"
    # 200 after a minute while it is green; 503 as soon as it is red or drains.
    while curl -sfo /dev/null "$app/readyz?wait=60&until=red"; do sleep 0.1; done
    echo "remove $app"
done
